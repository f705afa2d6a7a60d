//! What `netpay serve --show-policy` shows: every setting of policy and schedule in force. Reads the configuration only.

use serde_json::{Value, json};

use super::session::Session;
use crate::home::settings::{Setting, Source};

fn source(setting: &Setting) -> String {
    match &setting.source {
        Source::Default => "default".into(),
        Source::File => "file".into(),
        Source::Environment(name) => format!("environment: {name}"),
    }
}

fn object(setting: &Setting) -> Value {
    json!({
        "section": setting.name.section,
        "name": setting.name.name,
        "value": setting.value,
        "unit": (!setting.name.unit.is_empty()).then_some(setting.name.unit),
        "source": match &setting.source {
            Source::Default => "default",
            Source::File => "file",
            Source::Environment(_) => "environment",
        },
        "variable": match &setting.source {
            Source::Environment(name) => Some(name),
            _ => None,
        },
        "means": setting.name.means,
    })
}

fn value(setting: &Setting) -> String {
    match &setting.value {
        Value::String(text) if text.is_empty() => "-".into(),
        Value::String(text) => text.clone(),
        Value::Array(words) => words.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
        other => format!("{other} {}", setting.name.unit).trim_end().to_owned(),
    }
}

/// Shows them.
pub fn show(session: &Session) {
    let settings = &session.home.config.settings;
    let objects: Vec<Value> = settings.iter().map(object).collect();
    session.print(&json!({ "settings": objects }), || {
        let (mut text, mut section) = (String::new(), "");
        for setting in settings {
            if setting.name.section != section {
                section = setting.name.section;
                text += &format!("[{section}]\n");
            }
            text += &format!(
                "  {:<30} {:<18} ({})  {}\n",
                setting.name.name,
                value(setting),
                source(setting),
                setting.name.means
            );
        }
        text
    });
}
