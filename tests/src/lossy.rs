//! A wire to the NATS server that loses the first acknowledgement of JetStream: the message is stored, and whoever sent it
//! never hears so.

use std::io::{Read, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// See the module. Its threads end with the connections.
pub struct LossyWire {
    /// Its address.
    pub url: String,
    lost: Arc<AtomicBool>,
}

impl LossyWire {
    /// A wire to this server.
    pub fn to(nats_url: &str) -> Self {
        let server = nats_url.trim_start_matches("nats://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let url = format!("nats://{}", listener.local_addr().expect("just bound"));
        let lost = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&lost);
        std::thread::spawn(move || {
            for client in listener.incoming() {
                let (Ok(client), Ok(server)) = (client, TcpStream::connect(&server)) else { return };
                let (up, down) = (pair(&client, &server), pair(&server, &client));
                let lost = Arc::clone(&told);
                std::thread::spawn(move || carry(up, |_| false));
                std::thread::spawn(move || {
                    carry(down, |bytes| is_acknowledgement(bytes) && !lost.swap(true, Ordering::AcqRel));
                });
            }
        });
        Self { url, lost }
    }

    /// Whether one was lost.
    pub fn has_lost(&self) -> bool {
        self.lost.load(Ordering::Acquire)
    }
}

fn pair(from: &TcpStream, to: &TcpStream) -> (TcpStream, TcpStream) {
    (from.try_clone().expect("a second handle"), to.try_clone().expect("a second handle"))
}

fn is_acknowledgement(bytes: &[u8]) -> bool {
    let wanted = b"\"stream\":\"NETPAY_REDEEM\"";
    bytes.windows(wanted.len()).any(|window| window == wanted)
}

/// Carries bytes until there are none, or until some are to be lost: then the connection is cut.
fn carry((mut from, mut to): (TcpStream, TcpStream), lose: impl Fn(&[u8]) -> bool) {
    let mut bytes = vec![0; 1 << 16];
    while let Ok(count @ 1..) = from.read(&mut bytes) {
        if lose(&bytes[..count]) || to.write_all(&bytes[..count]).is_err() {
            break;
        }
    }
    // The other side may be gone already.
    let _ = (from.shutdown(Shutdown::Both), to.shutdown(Shutdown::Both));
}
