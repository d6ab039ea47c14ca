//! The reference pages say what the services declare.

/// Goal: docs/configuration.md and docs/metrics.md cannot drift. Method: they
/// are compared with what the declarations give.
#[test]
fn the_pages_are_what_the_services_declare() {
    let pages = [
        (
            "configuration",
            include_str!("../../../docs/configuration.md"),
            hooklane_cli::reference::configuration(),
        ),
        (
            "metrics",
            include_str!("../../../docs/metrics.md"),
            hooklane_cli::reference::metrics().unwrap(),
        ),
    ];
    for (name, page, declared) in pages {
        assert!(
            page == declared,
            "docs/{name}.md is out of date; run `hooklane reference {name} > docs/{name}.md`"
        );
    }
}

/// Goal: what operations are told to alert on exists. Method: every metric
/// that the page names is one that a service registers.
#[test]
fn alerts_are_on_metrics_that_exist() {
    let page = include_str!("../../../docs/operations.md");
    let declared = hooklane_cli::reference::metrics().unwrap();
    let is_part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let words = page.split(|c| !is_part(c));
    let mut names: Vec<&str> = words.filter(|word| word.starts_with("hooklane_")).collect();
    names.sort_unstable();
    names.dedup();
    assert!(names.len() > 10, "{names:?}");
    names.retain(|name| !declared.contains(&format!("| `{name}` |")));
    assert!(names.is_empty(), "no service has {names:?}");
}

/// Goal: what people are told to set exists. Method: every variable that a page
/// names, as it stands there or with `_FILE`, is one that a service declares.
#[test]
fn variables_on_pages_are_declared() {
    let pages = [
        include_str!("../../../README.md"),
        include_str!("../../../docs/egress.md"),
        include_str!("../../../docs/operations.md"),
        include_str!("../../../docs/resources.md"),
        include_str!("../../../docs/secrets.md"),
    ];
    let declared = hooklane_cli::reference::configuration();
    let is_part = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    let words = pages.iter().flat_map(|page| page.split(|c| !is_part(c)));
    let names: Vec<&str> = words.filter(|w| w.starts_with("HOOKLANE__")).collect();
    assert!(names.len() > 5, "{names:?}");
    for name in names {
        let key = name.strip_suffix("_FILE").unwrap_or(name);
        let has = |name: &str| declared.contains(&format!("`{name}`"));
        assert!(has(name) || has(key), "no service reads {name}");
    }
}
