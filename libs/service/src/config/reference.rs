//! The reference of all keys, as docs/configuration.md shows it.

use std::fmt::Write as _;

use super::spec::{DefaultValue, KeySpec, Section};

/// One Markdown table per section, in the order given.
#[must_use]
pub fn reference_markdown(sections: &[&Section]) -> String {
    let mut text = String::new();
    for section in sections {
        if !text.is_empty() {
            text.push('\n');
        }
        // Writing to a String cannot fail.
        writeln!(text, "## {}\n\n{}\n", section.name, section.doc).ok();
        text.push_str("| Key | Environment | Value | Default | Meaning | Since |\n");
        text.push_str("|---|---|---|---|---|---|\n");
        for spec in section.keys {
            row(&mut text, spec);
        }
    }
    text
}

fn row(text: &mut String, spec: &KeySpec) {
    let default = match spec.default {
        DefaultValue::Required => "required".to_owned(),
        DefaultValue::Unset => "unset".to_owned(),
        DefaultValue::Text("") => "empty".to_owned(),
        DefaultValue::Text(default) => format!("`{default}`"),
    };
    let secret = if spec.secret {
        " Never shown in logs or errors."
    } else {
        ""
    };
    writeln!(
        text,
        "| `{}` | `{}` | {} | {} | {}{} | {} |",
        spec.path,
        spec.variable(),
        spec.kind.describe(),
        default,
        spec.doc.replace('|', "\\|"),
        secret,
        spec.since
    )
    .ok();
}
