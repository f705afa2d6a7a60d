//! What a snapshot says of itself, before its files come.
//!
//! Good only as the sender's program writes it: files in order of their names, which are plain ones. Small enough for one
//! message between nodes: some 9,000 files, half a terabyte of tables as RocksDB cuts them.

use minicbor::{Decode, Encode};
use netpay_protocol::ids::Digest;
use netpay_protocol::redemption::Head;
use netpay_protocol::wire;

/// The most bytes of a manifest.
pub const MAX_MANIFEST_BYTES: usize = 512 << 10;
/// RocksDB's own names are shorter.
const MAX_NAME_BYTES: usize = 64;

/// See the module.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Manifest {
    /// Where the ledger stands.
    #[n(0)]
    pub head: Head,
    /// The digest of its rows.
    #[n(1)]
    pub digest: Digest,
    /// How far the cluster's log was applied; `None` before its first entry.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub progress: Option<Vec<u8>>,
    /// Its files, in order of their names. A chunk names one by its place here.
    #[n(3)]
    pub files: Vec<Listed>,
}

/// A file of a snapshot.
#[derive(Clone, PartialEq, Eq, Debug, Encode, Decode)]
#[cbor(map)]
pub struct Listed {
    /// Its name in the ledger's directory.
    #[n(0)]
    pub name: String,
    /// How long it is.
    #[n(1)]
    pub size_bytes: u64,
    /// BLAKE3 of its bytes.
    #[n(2)]
    pub hash: Digest,
}

impl Manifest {
    /// Its bytes, if they are not too many.
    pub fn to_bytes(&self) -> Result<Vec<u8>, String> {
        let bytes = wire::encode(self);
        self.check()?;
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(format!("the ledger has {} files, too many for a snapshot's manifest", self.files.len()));
        }
        Ok(bytes)
    }

    /// Reads what another node sent.
    pub fn read(bytes: &[u8]) -> Result<Self, String> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            return Err(format!("a manifest has at most {MAX_MANIFEST_BYTES} bytes, this one {}", bytes.len()));
        }
        let manifest: Self = wire::decode(bytes).map_err(|error| format!("no manifest: {error}"))?;
        manifest.check()?;
        Ok(manifest)
    }

    /// How much there is to send.
    pub fn size_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.size_bytes).fold(0, u64::saturating_add)
    }

    /// A name is a file in the ledger's own directory, and no other's.
    fn check(&self) -> Result<(), String> {
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"-_.".contains(&c);
        let is_name = |name: &str| {
            (1..=MAX_NAME_BYTES).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.')
        };
        if let Some(file) = self.files.iter().find(|file| !is_name(&file.name)) {
            return Err(format!("{:?} is no name of a ledger's file", file.name));
        }
        let in_order = self.files.windows(2).all(|pair| matches!(pair, [a, b] if a.name < b.name));
        if in_order { Ok(()) } else { Err("the files are not in order of their names".into()) }
    }
}
