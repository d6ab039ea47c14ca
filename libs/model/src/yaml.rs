//! What a YAML reader complains of, fit to be shown.

/// What the reader says, less the text that it shows where a value is not what
/// its tag says (`!!int hunter2`): that may be a secret.
#[must_use]
pub fn without_values(error: &serde_norway::Error) -> String {
    let said = error.to_string();
    let Some((path, _found)) = said.split_once("invalid value: ") else {
        return said;
    };
    let place = error.location().map_or_else(String::new, |at| {
        format!(" at line {} column {}", at.line(), at.column())
    });
    format!("{path}is not what its tag says{place}; quote it and leave out the tag")
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn the_place_is_shown_and_the_value_is_not() {
        for value in [
            "!!int hunter2",
            "!!float hunter2",
            "!!bool 'hunter2 at line 9'",
            "!!null hunter2",
            "'hunter2",
            "*hunter2",
            "!hunter2 hunter2",
            "!!int 'invalid value: hunter2'",
        ] {
            let text = format!("a: 1\npassword: {value}\n");
            let error = serde_norway::from_str::<Value>(&text).unwrap_err();
            let shown = without_values(&error);
            assert!(!shown.contains("hunter2"), "{value}: {shown}");
            assert!(shown.contains("line 2 column 11"), "{value}: {shown}");
        }
    }
}
