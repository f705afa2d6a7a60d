//! Faults are compiled in when `NETPAY_PLANTED_BUILD=1` (tests/planted.sh), and never into a release.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(netpay_planted)");
    println!("cargo::rerun-if-env-changed=NETPAY_PLANTED_BUILD");
    if std::env::var_os("NETPAY_PLANTED_BUILD").is_some_and(|value| value == "1") {
        let profile = std::env::var("PROFILE").expect("cargo says which");
        assert!(profile != "release", "a release has no planted faults; unset NETPAY_PLANTED_BUILD");
        println!("cargo::rustc-cfg=netpay_planted");
    }
}
