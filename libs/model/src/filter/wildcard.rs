//! `*` in texts: any run of characters, also none.

use super::limit::WILDCARD_STARS_MAX;

/// A text with `*` in it. `\*` and `\\` stand for themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wildcard {
    /// What stands between the stars; one more than there are stars.
    parts: Vec<String>,
}

impl Wildcard {
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = vec![String::new()];
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let part = parts
                .last_mut()
                .expect("begins with one part and only grows");
            match c {
                '\\' => match chars.next() {
                    Some(escaped @ ('*' | '\\')) => part.push(escaped),
                    _ => return Err("`\\` must be followed by `*` or `\\`".to_owned()),
                },
                '*' if chars.peek() == Some(&'*') => {
                    return Err("`**` says no more than `*`; write one".to_owned());
                }
                '*' => parts.push(String::new()),
                other => part.push(other),
            }
        }
        let stars = parts.len() - 1;
        if stars > WILDCARD_STARS_MAX {
            return Err(format!(
                "has {stars} `*`, at most {WILDCARD_STARS_MAX} are allowed"
            ));
        }
        Ok(Self { parts })
    }

    /// Takes each part at the first place it fits: with nothing but stars
    /// between parts, a later place never helps. Linear per part.
    pub(crate) fn matches(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.parts.as_slice() else {
            return self.parts.first().is_some_and(|only| only == text);
        };
        let Some(mut rest) = text
            .strip_prefix(first.as_str())
            .and_then(|t| t.strip_suffix(last.as_str()))
        else {
            return false;
        };
        for part in middle {
            let Some(at) = rest.find(part.as_str()) else {
                return false;
            };
            rest = &rest[at + part.len()..];
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_take_any_run() {
        let cases = [
            ("a*", "a", true),
            ("a*", "ab", true),
            ("a*", "ba", false),
            ("*a", "ba", true),
            ("*", "", true),
            ("a*a", "a", false),
            ("a*a", "aa", true),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("*ab*ab*", "ab", false),
            ("*ab*ab*", "xabyabz", true),
            (r"\*x", "*x", true),
            (r"\*x", "yx", false),
            (r"a\\*", r"a\b", true),
            ("exact", "exact", true),
            ("exact", "exactly", false),
            ("*ö*", "schön", true),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(
                Wildcard::parse(pattern).unwrap().matches(text),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn bad_wildcards_say_why() {
        for bad in ["a**b", r"a\b", "\\", &"*a".repeat(9)] {
            assert!(Wildcard::parse(bad).is_err(), "{bad}");
        }
    }
}
