//! One request over NATS, and what its answer means: bytes, a problem, or silence.

use std::time::Duration;

use async_nats::header::HeaderMap;
use async_nats::{Client, Request, RequestErrorKind};
use bytes::Bytes;
use netpay_protocol::limits::MAX_MESSAGE_BYTES;
use netpay_protocol::problem::{Kind, Problem};
use netpay_protocol::wire;

use crate::ports::CallError;

/// How long an answer may take.
const TIMEOUT: Duration = Duration::from_secs(10);

const ERROR: &str = "Nats-Service-Error";
const ERROR_CODE: &str = "Nats-Service-Error-Code";

/// Sends and waits.
pub async fn request(client: &Client, subject: String, message: Vec<u8>) -> Result<Vec<u8>, CallError> {
    if message.len() > MAX_MESSAGE_BYTES {
        return Err(CallError::Problem(Problem::new(
            Kind::TooLarge,
            format!("the message has {} bytes", message.len()),
        )));
    }
    let request = Request::new().payload(Bytes::from(message)).timeout(Some(TIMEOUT));
    let answer = client.send_request(subject, request).await.map_err(|error| {
        CallError::Silence(match error.kind() {
            RequestErrorKind::NoResponders => "nobody answers there now".into(),
            RequestErrorKind::TimedOut => {
                format!("no answer within {} s", TIMEOUT.as_secs())
            }
            _ => error.to_string(),
        })
    })?;
    let failed = answer.headers.as_ref().and_then(|headers| headers.get(ERROR_CODE));
    if failed.is_none() {
        return Ok(answer.payload.to_vec());
    }
    Err(match wire::decode::<Problem>(&answer.payload) {
        Ok(problem) => CallError::Problem(problem),
        Err(error) => CallError::Unreadable(error.to_string()),
    })
}

/// The headers of an answer that is a problem.
pub fn headers(problem: &Problem) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(ERROR, problem.kind.name());
    headers.insert(ERROR_CODE, problem.kind.code().to_string());
    headers
}
