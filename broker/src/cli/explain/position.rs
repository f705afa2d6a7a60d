//! A position: what its record says, and who asked for it.

use std::ops::ControlFlow;

use anyhow::bail;
use serde_json::json;

use super::super::told::{self, Log};
use super::super::{NotFound, Said, moment};

pub(super) fn explain(log: &Log<'_>, position: u64) -> anyhow::Result<Said> {
    if !(1..=log.end()).contains(&position) {
        bail!(NotFound(format!("there is no record {position}; the log has positions 1 to {}", log.end())));
    }
    let mut said = None;
    log.each(position, position, &mut |record, hash| {
        let told = record.events.iter().enumerate().map(|(index, event)| {
            let text = told::words(event, &|_| true);
            let json = json!({ "index": index, "event": told::name(event), "text": text });
            (json, format!("  {text}\n"))
        });
        let (entries, texts): (Vec<_>, String) = told.unzip();
        let asked_by = told::asked_by(record);
        let json = json!({
            "position": record.position,
            "recorded_at_ms": record.recorded_at_ms,
            "incarnation": record.incarnation,
            "hash": hash.to_string(),
            "prev_hash": record.prev_hash.to_string(),
            "asked_by": asked_by,
            "entries": entries,
        });
        let at = moment::shown(record.recorded_at_ms);
        let text = format!(
            "record {position} of {at}, incarnation {}\nasked for by {asked_by}\n{texts}hash {hash}",
            record.incarnation
        );
        said = Some(Said::new(json, text));
        Ok(ControlFlow::Break(()))
    })?;
    Ok(said.expect("the log shows the record that was asked for, or fails"))
}
