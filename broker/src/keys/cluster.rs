//! The key that a broker's nodes share: what carries its MAC came from one of them.
//!
//! It reaches a joining node as a file that the operator copies. It signs nothing that a peer ever sees.

use netpay_protocol::keys::SigningKey;
use zeroize::Zeroizing;

use super::{KeyFolder, rng};

/// The key file's name.
const NAME: &str = "cluster";

/// 32 random bytes.
pub struct ClusterKey(Zeroizing<[u8; 32]>);

impl ClusterKey {
    /// A key of these bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// BLAKE3 keyed with it, over the parts in order. All but the last must be of a length that the first one tells.
    pub fn mac(&self, parts: &[&[u8]]) -> blake3::Hash {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize()
    }
}

impl KeyFolder {
    /// Draws the cluster key and writes it. Never overwrites.
    pub fn create_cluster_key(&self) -> anyhow::Result<()> {
        self.write(NAME, &SigningKey::generate(&mut rng()).seed())
    }

    /// Reads the cluster key.
    pub fn cluster_key(&self) -> anyhow::Result<ClusterKey> {
        self.read(NAME).map(ClusterKey)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_cluster_key_is_drawn_once_read_back_and_refused_when_others_can_read_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let keys = KeyFolder(dir.path().to_owned());
        assert!(keys.cluster_key().is_err(), "there is none yet");
        keys.create_cluster_key().expect("written");
        let mac = || keys.cluster_key().expect("readable").mac(&[b"said"]);
        assert_eq!(mac(), mac());
        assert!(keys.create_cluster_key().is_err(), "never overwritten");
        let path = dir.path().join("cluster.key");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).expect("ours");
        let refused = keys.cluster_key().map(|_| ()).expect_err("readable by the group");
        assert!(refused.to_string().contains("chmod 600"), "{refused}");
    }
}
