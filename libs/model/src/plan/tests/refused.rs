//! Everything a plan is refused for, and the words.

use super::*;

type Case = (String, ProblemKind, &'static [&'static str]);

/// Each line: what is applied to a stored [`three`], and all that is said.
fn check(cases: Vec<Case>) {
    for (file, kind, said) in cases {
        let mut world = World::new();
        world.apply(&three()).unwrap();
        let error = world.apply(&file).unwrap_err();
        let lines: Vec<String> = error.problems.iter().map(ToString::to_string).collect();
        assert_eq!(lines, said, "{file}");
        assert_eq!(error.kind(), kind, "{file}");
    }
}

#[test]
fn what_does_not_fit_what_is_stored() {
    check(vec![
        (
            endpoint("name: erp, generation: 2", "b"),
            ProblemKind::Conflict,
            &[
                "Endpoint acme/erp: metadata.generation: 2 is expected, and it is 1: somebody \
               changed it; look at it and apply again",
            ],
        ),
        (
            endpoint("name: erp, uid: ep_000000000000000000000000000000ff", "b"),
            ProblemKind::Conflict,
            &[
                "Endpoint acme/erp: metadata.uid: ep_000000000000000000000000000000ff is expected, \
               and it is ep_00000000000000000000000000000003: the name was used again",
            ],
        ),
        (
            endpoint("name: new, uid: ep_000000000000000000000000000000ff", "b"),
            ProblemKind::Conflict,
            &[
                "Endpoint acme/new: metadata.uid: ep_000000000000000000000000000000ff is expected, \
               and no such resource exists; leave it out to create one",
            ],
        ),
        (
            endpoint("name: new, generation: 4", "b"),
            ProblemKind::Conflict,
            &[
                "Endpoint acme/new: metadata.generation: 4 is expected, and no such resource \
               exists; leave it out to create one",
            ],
        ),
        (
            endpoint("name: erp, deleted: true", "a"),
            ProblemKind::Invalid,
            &["Endpoint acme/erp: metadata.deleted: cannot be applied; use `hooklane delete`"],
        ),
    ]);
}

#[test]
fn what_could_never_be_written() {
    let orders_elsewhere = subscription("orders", "shop", "erp").replace("acme", "other");
    check(vec![
        (
            endpoint("name: x", "a") + &endpoint("name: x", "b") + &endpoint("name: x", "c"),
            ProblemKind::Invalid,
            &["Endpoint acme/x: is declared more than once"],
        ),
        (
            subscription("a", "shopp", "erq") + &subscription("b", "shop", "erp"),
            ProblemKind::Invalid,
            &[
                "Subscription acme/a: spec.source: Source shopp does not exist, here or in the file",
                "Subscription acme/a: spec.endpoint: Endpoint acme/erq does not exist, here or in \
                 the file",
            ],
        ),
        (
            orders_elsewhere,
            ProblemKind::Invalid,
            &[
                "Subscription other/orders: spec.endpoint: Endpoint other/erp does not exist, here \
               or in the file",
            ],
        ),
        (
            source("second", "shop.events"),
            ProblemKind::Conflict,
            &[
                "Source second: spec.topic: shop.events is read by Source shop already; events \
               would be delivered twice",
            ],
        ),
        (
            source("a", "t") + &source("b", "t"),
            ProblemKind::Conflict,
            &[
                "Source b: spec.topic: t is read by Source a already; events would be delivered twice",
            ],
        ),
        (
            source("loop", "hooklane.dead"),
            ProblemKind::Invalid,
            &[
                "Source loop: spec.topic: hooklane.dead is an internal topic: names that begin \
               with hooklane. are Hooklane's own",
            ],
        ),
        (
            source("shop", "other.events"),
            ProblemKind::Invalid,
            &[
                "Source shop: spec.topic: is shop.events and cannot become other.events: positions \
               and delivery ids belong to the topic; create another Source",
            ],
        ),
        (
            endpoint("name: erp, generation: 2", "b") + &source("loop", "hooklane.dead"),
            ProblemKind::Invalid,
            &[
                "Endpoint acme/erp: metadata.generation: 2 is expected, and it is 1: somebody \
                 changed it; look at it and apply again",
                "Source loop: spec.topic: hooklane.dead is an internal topic: names that begin \
                 with hooklane. are Hooklane's own",
            ],
        ),
    ]);
}
