//! Streams and consumers of JetStream: made if they are not there, and compared field by field with what is wanted.
//!
//! The comparison is of what the server says it has. A server ignores a field that it does not know, and a stream may have
//! been made by somebody else: a queue that evicts silently, or acknowledges what it has not stored, looks like any other
//! until something is lost.

use anyhow::{Context as _, bail};
use async_nats::Client;
use async_nats::jetstream::consumer::{PullConsumer, pull};
use async_nats::jetstream::context::AccountErrorKind;
use async_nats::jetstream::stream::{self, Stream};
use async_nats::jetstream::{self, Context, ErrorCode};
use serde_json::Value;

/// JetStream as this connection has it; `None` if the server has none for us. An error if that cannot be told.
pub async fn find(client: &Client) -> anyhow::Result<Option<Context>> {
    let context = jetstream::new(client.clone());
    let Err(error) = context.query_account().await else { return Ok(Some(context)) };
    match error.kind() {
        AccountErrorKind::JetStreamUnavailable => Ok(None),
        AccountErrorKind::JetStream(why) if is_switched_off(why.error_code()) => Ok(None),
        _ => Err(error).context("the NATS server does not say whether it has JetStream"),
    }
}

fn is_switched_off(code: ErrorCode) -> bool {
    [ErrorCode::JETSTREAM_NOT_ENABLED, ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT].contains(&code)
}

/// Makes a stream, or takes the one that is there if it is as wanted.
pub async fn stream(context: &Context, wanted: stream::Config) -> anyhow::Result<Stream> {
    let name = wanted.name.clone();
    let made = context.get_or_create_stream(&wanted).await;
    let made = made.with_context(|| format!("JetStream stream {name} cannot be made"))?;
    let found = made.get_info().await.with_context(|| format!("JetStream stream {name} cannot be read back"))?.config;
    check(&format!("stream {name}"), &serde_json::to_value(&wanted)?, &serde_json::to_value(&found)?)?;
    Ok(made)
}

/// The same for a durable consumer.
pub async fn consumer(stream: &Stream, wanted: pull::Config) -> anyhow::Result<PullConsumer> {
    let name = wanted.durable_name.clone().unwrap_or_default();
    let made = stream.get_or_create_consumer(&name, wanted.clone()).await;
    let made = made.with_context(|| format!("JetStream consumer {name} cannot be made"))?;
    let found = made.get_info().await.with_context(|| format!("JetStream consumer {name} cannot be read back"))?.config;
    let wanted = jetstream::consumer::IntoConsumerConfig::into_consumer_config(wanted);
    check(&format!("consumer {name}"), &serde_json::to_value(&wanted)?, &serde_json::to_value(&found)?)?;
    Ok(made)
}

/// What may differ: names and places, and what the server fills in by itself.
const FREE: [&str; 9] = [
    "name",
    "description",
    "metadata",
    "placement",
    "compression",
    "allow_direct",
    "mirror_direct",
    "first_seq",
    "max_waiting",
];

fn check(what: &str, wanted: &Value, found: &Value) -> anyhow::Result<()> {
    let Some(field) = difference(wanted, found) else { return Ok(()) };
    let (wanted, found) = (&wanted[&field], &found[&field]);
    bail!(
        "JetStream {what} has {field} = {found}, and {wanted} is wanted; set it so (nats stream edit, nats consumer edit), \
         or remove the {what} if it holds nothing that is needed, and start again"
    )
}

/// The first field that is not as wanted, by name. Nothing, `null` and what the server takes for *nothing* are the same.
fn difference(wanted: &Value, found: &Value) -> Option<String> {
    let keys = |value: &Value| value.as_object().map(|fields| fields.keys().cloned().collect()).unwrap_or_default();
    let mut fields: Vec<String> = keys(wanted);
    fields.extend(keys(found));
    fields.sort();
    fields.into_iter().find(|field| !FREE.contains(&field.as_str()) && plain(&wanted[field]) != plain(&found[field]))
}

fn plain(value: &Value) -> Value {
    match value {
        Value::Bool(false) => Value::Null,
        Value::Number(number) if number.as_i64().is_some_and(|number| number == 0) => Value::Null,
        Value::String(text) if text.is_empty() => Value::Null,
        Value::Array(items) if items.is_empty() => Value::Null,
        Value::Object(fields) if fields.values().all(|value| plain(value).is_null()) => Value::Null,
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn any_field_that_is_not_as_wanted_is_named_whichever_side_lacks_it() {
        let wanted = json!({ "retention": "workqueue", "discard": "new", "max_bytes": 10, "sealed": false });
        let with = |field: &str, value: Value| {
            let mut found = wanted.clone();
            found[field] = value;
            found
        };
        assert_eq!(difference(&wanted, &wanted), None);
        assert_eq!(difference(&wanted, &with("metadata", json!({ "_nats.ver": "2.15" }))), None);
        assert_eq!(difference(&wanted, &with("consumer_limits", json!({}))), None);
        assert_eq!(difference(&wanted, &with("discard", json!("old"))), Some("discard".into()));
        assert_eq!(difference(&wanted, &with("discard", Value::Null)), Some("discard".into()));
        assert_eq!(difference(&wanted, &with("max_bytes", json!(11))), Some("max_bytes".into()));
        assert_eq!(difference(&wanted, &with("sealed", json!(true))), Some("sealed".into()));
        assert_eq!(difference(&wanted, &with("persist_mode", json!("async"))), Some("persist_mode".into()));
        let said = check("stream S", &wanted, &with("discard", json!("old"))).expect_err("another").to_string();
        assert!(said.starts_with("JetStream stream S has discard = \"old\", and \"new\" is wanted; "), "{said}");
    }
}
