//! JSON as the vectors need it: fields in the order they were given, integers only, and the same text for ever.

use netpay_protocol::amounts::{PaywordIndex, UnitValue, Units, WordCount};
use netpay_protocol::ids::{BrokerId, ContentId, Digest, EcoinId, Kid, PeerId, RequestId, to_hex};
use netpay_protocol::keys::{PublicKey, Signature};
use netpay_protocol::suite::{Payword, Suite};

/// A value.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Json {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// An integer of up to 64 bits.
    Number(u64),
    /// Text.
    Text(String),
    /// A list.
    List(Vec<Json>),
    /// Named values, in this order.
    Object(Vec<(&'static str, Json)>),
}

/// Bytes as lower-case hex.
pub fn hex(bytes: &[u8]) -> Json {
    Json::Text(to_hex(bytes))
}

/// A list of values.
pub fn list<T: Into<Json>>(items: impl IntoIterator<Item = T>) -> Json {
    Json::List(items.into_iter().map(Into::into).collect())
}

/// `object!("name" => value, …)`
macro_rules! object {
    ($($name:literal => $value:expr),* $(,)?) => {
        $crate::sets::json::Json::Object(vec![$(($name, $crate::sets::json::Json::from($value))),*])
    };
}
pub(crate) use object;

impl Json {
    /// A field that is text.
    pub fn text(&self, field: &str) -> &str {
        let Self::Object(fields) = self else { panic!("no object") };
        match fields.iter().find(|(name, _)| *name == field) {
            Some((_, Self::Text(text))) => text,
            _ => panic!("no text {field}"),
        }
    }

    /// The text, indented, with a line feed at its end.
    pub fn pretty(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out.push('\n');
        out
    }

    fn write(&self, out: &mut String, depth: usize) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(value) => out.push_str(&value.to_string()),
            Self::Text(text) => quote(out, text),
            Self::List(items) => {
                let items: Vec<_> = items.iter().map(|item| (None, item)).collect();
                Self::block(out, depth, ('[', ']'), &items);
            }
            Self::Object(fields) => {
                let fields: Vec<_> = fields.iter().map(|(name, value)| (Some(*name), value)).collect();
                Self::block(out, depth, ('{', '}'), &fields);
            }
        }
    }

    fn block(out: &mut String, depth: usize, (open, close): (char, char), items: &[(Option<&str>, &Self)]) {
        out.push(open);
        for (i, (name, value)) in items.iter().enumerate() {
            out.push_str(if i == 0 { "\n" } else { ",\n" });
            out.push_str(&" ".repeat(depth + 1));
            if let Some(name) = name {
                quote(out, name);
                out.push_str(": ");
            }
            value.write(out, depth + 1);
        }
        if !items.is_empty() {
            out.push('\n');
            out.push_str(&" ".repeat(depth));
        }
        out.push(close);
    }
}

fn quote(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
}

macro_rules! from {
    ($($type:ty => |$value:ident| $json:expr),+ $(,)?) => { $(
        impl From<$type> for Json {
            fn from($value: $type) -> Self {
                $json
            }
        }
    )+ };
}

from! {
    bool => |v| Self::Bool(v),
    u64 => |v| Self::Number(v),
    u32 => |v| Self::Number(v.into()),
    u16 => |v| Self::Number(v.into()),
    u8 => |v| Self::Number(v.into()),
    &str => |v| Self::Text(v.into()),
    String => |v| Self::Text(v),
    PaywordIndex => |v| v.0.into(),
    WordCount => |v| v.0.into(),
    UnitValue => |v| v.0.into(),
    Units => |v| v.0.into(),
    Suite => |v| v.to_string().into(),
    BrokerId => |v| hex(&v.0),
    PeerId => |v| hex(&v.0),
    EcoinId => |v| hex(&v.0),
    RequestId => |v| hex(&v.0),
    Kid => |v| hex(&v.0),
    Digest => |v| hex(&v.0),
    ContentId => |v| hex(&v.0),
    PublicKey => |v| hex(&v.0),
    Signature => |v| hex(&v.0),
    Payword => |v| hex(v.bytes()),
}

impl<T: Into<Json>> From<Option<T>> for Json {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
