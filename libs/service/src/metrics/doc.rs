//! What is exported, as data: for docs/metrics.md and the test against it.

use std::fmt::Write as _;

/// One family as the exposition shows it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FamilyDoc {
    /// Its name.
    pub name: String,
    /// `counter`, `gauge` or `histogram`.
    pub kind: &'static str,
    /// The names of its labels.
    pub labels: Vec<String>,
    /// What it says.
    pub help: String,
}

/// One Markdown table per component.
#[must_use]
pub fn reference_markdown(components: &[(&str, Vec<FamilyDoc>)]) -> String {
    let mut text = String::new();
    for (component, families) in components {
        if !text.is_empty() {
            text.push('\n');
        }
        // Writing to a String cannot fail.
        writeln!(text, "## {component}\n").ok();
        text.push_str("| Name | Type | Labels | Meaning |\n|---|---|---|---|\n");
        for family in families {
            let labels: Vec<_> = family
                .labels
                .iter()
                .map(|label| format!("`{label}`"))
                .collect();
            let help = family.help.replace('|', "\\|");
            let FamilyDoc { name, kind, .. } = family;
            writeln!(
                text,
                "| `{name}` | {kind} | {} | {help} |",
                labels.join(", ")
            )
            .ok();
        }
    }
    text
}
