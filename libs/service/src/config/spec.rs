//! What a key is: its path, the kind of its value, its default and its story.

/// One configuration key, declared as a constant.
#[derive(Clone, Copy, Debug)]
pub struct KeySpec {
    /// Dotted path, as in `dispatcher.queue_wait`.
    pub path: &'static str,
    /// What its value looks like.
    pub kind: Kind,
    /// What holds when nobody sets it.
    pub default: DefaultValue,
    /// One or two sentences for the reference.
    pub doc: &'static str,
    /// The release that brought it.
    pub since: &'static str,
    /// Whether the value must not be shown, in errors or elsewhere.
    pub secret: bool,
}

/// What holds when a key is not set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultValue {
    /// The service cannot start without it.
    Required,
    /// Unset is a meaning of its own, which the doc text gives.
    Unset,
    /// The default, written as a person would write it.
    Text(&'static str),
}

/// The form of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text that is not empty.
    Text,
    /// `250ms`, `15s`, `1h30m`.
    Duration,
    /// `64KiB`, `256MiB`.
    Bytes,
    /// A whole number.
    Integer,
    /// A number, fractions allowed.
    Number,
    /// `true` or `false`.
    Bool,
    /// `0.0.0.0:9464` or `[::]:9464`.
    Address,
    /// Texts: a YAML list, or separated by commas.
    TextList,
    /// Networks such as `10.0.0.0/8`: a YAML list, or separated by commas.
    CidrList,
    /// A YAML mapping of texts; in the environment one variable per entry.
    TextMap,
    /// One of these words.
    Choice(&'static [&'static str]),
}

impl Kind {
    pub(super) fn describe(self) -> String {
        match self {
            Self::Text => "text".to_owned(),
            Self::Duration => "duration".to_owned(),
            Self::Bytes => "bytes".to_owned(),
            Self::Integer => "integer".to_owned(),
            Self::Number => "number".to_owned(),
            Self::Bool => "`true` or `false`".to_owned(),
            Self::Address => "address".to_owned(),
            Self::TextList => "list of texts".to_owned(),
            Self::CidrList => "list of networks".to_owned(),
            Self::TextMap => "mapping of texts".to_owned(),
            Self::Choice(words) => {
                let words: Vec<_> = words.iter().map(|word| format!("`{word}`")).collect();
                words.join(", ")
            }
        }
    }
}

impl KeySpec {
    /// A key with a default.
    #[must_use]
    pub const fn new(
        path: &'static str,
        kind: Kind,
        default: &'static str,
        doc: &'static str,
    ) -> Self {
        let default = DefaultValue::Text(default);
        Self {
            path,
            kind,
            default,
            doc,
            since: "0.1.0",
            secret: false,
        }
    }

    /// A key that must be set.
    #[must_use]
    pub const fn required(path: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            path,
            kind,
            default: DefaultValue::Required,
            doc,
            since: "0.1.0",
            secret: false,
        }
    }

    /// A key that may stay unset.
    #[must_use]
    pub const fn optional(path: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            path,
            kind,
            default: DefaultValue::Unset,
            doc,
            since: "0.1.0",
            secret: false,
        }
    }

    /// The same key, its value never shown.
    #[must_use]
    pub const fn secret(mut self) -> Self {
        self.secret = true;
        self
    }

    /// The same key, brought by that release.
    #[must_use]
    pub const fn since(mut self, release: &'static str) -> Self {
        self.since = release;
        self
    }

    /// The environment variable that sets it.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("HOOKLANE__{}", self.path.to_uppercase().replace('.', "__"))
    }
}

/// Keys that belong together: one table of the reference.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// Heading of its table, the common first part of its paths.
    pub name: &'static str,
    /// What the section is about.
    pub doc: &'static str,
    /// Its keys, in the order of the reference.
    pub keys: &'static [KeySpec],
}
