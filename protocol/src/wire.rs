//! CBOR with integer keys (RFC 8949), one canonical form per value.

use minicbor::data::Type;

use crate::limits::MAX_MESSAGE_BYTES;

/// Bytes that are not a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotAMessage {
    /// Above the limit; nothing else was looked at.
    #[error("message has {0} bytes, the most is {MAX_MESSAGE_BYTES}")]
    TooLarge(usize),
    /// Not the expected shape.
    #[error("not a message of the expected kind: {0}")]
    Shape(String),
    /// Bytes after the message.
    #[error("message has trailing bytes")]
    Trailing,
    /// A shape with another encoding than the canonical one.
    #[error("message is not in its canonical encoding")]
    NotCanonical,
}

/// Encodes. The result can be larger than a message may be only where a caller ignored the limits.
pub fn encode<T: minicbor::Encode<()>>(message: &T) -> Vec<u8> {
    minicbor::to_vec(message).expect("encoding into memory cannot fail")
}

/// Refuses items of indefinite length, of which no canonical message has any. Before anything else, because passing over
/// nested ones takes the decoder up to forty bytes of memory for each byte of the message.
fn check_definite(bytes: &[u8]) -> Result<(), NotAMessage> {
    let mut d = minicbor::Decoder::new(bytes);
    while d.position() < bytes.len() {
        match d.datatype() {
            Ok(Type::ArrayIndef | Type::MapIndef | Type::BytesIndef | Type::StringIndef | Type::Break) => {
                return Err(NotAMessage::NotCanonical);
            }
            // Of what holds others, the head alone: the others come next.
            Ok(Type::Array) => d.array().map(|_| ()),
            Ok(Type::Map) => d.map().map(|_| ()),
            Ok(Type::Tag) => d.tag().map(|_| ()),
            Ok(_) => d.skip(),
            Err(error) => Err(error),
        }
        .map_err(|error| NotAMessage::Shape(error.to_string()))?;
    }
    Ok(())
}

/// Decodes: size first, then that all lengths are said, then shape, then that nothing follows, then that the bytes are
/// the canonical ones.
pub fn decode<'b, T: minicbor::Encode<()> + minicbor::Decode<'b, ()>>(bytes: &'b [u8]) -> Result<T, NotAMessage> {
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(NotAMessage::TooLarge(bytes.len()));
    }
    check_definite(bytes)?;
    let mut decoder = minicbor::Decoder::new(bytes);
    let message: T = decoder.decode().map_err(|error| NotAMessage::Shape(error.to_string()))?;
    if decoder.position() != bytes.len() {
        return Err(NotAMessage::Trailing);
    }
    if encode(&message) != bytes {
        return Err(NotAMessage::NotCanonical);
    }
    Ok(message)
}
