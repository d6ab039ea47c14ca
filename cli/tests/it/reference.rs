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
