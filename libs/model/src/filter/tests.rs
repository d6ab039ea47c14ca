use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::envelope::EventHead;

fn head() -> EventHead {
    EventHead {
        tenant: Some("acme".into()),
        source: "/shop".into(),
        id: "e-1".into(),
        event_type: "order.created".into(),
        content_type: Some("application/json".into()),
        attributes: vec![
            ("region".into(), "eu-1".into()),
            ("subject".into(), "Order/7".into()),
        ],
        ..EventHead::default()
    }
}

fn matches(pattern: &Value, data: &Value) -> bool {
    let bytes = data.to_string();
    let (head, data) = (head(), Data::json(bytes.as_bytes()));
    let filter = Filter::parse(pattern).unwrap_or_else(|e| panic!("{pattern}: {e:?}"));
    let document = Document::new(&head, &data);
    let found = filter.matches(&document);
    assert_eq!(
        found,
        naive_matches(pattern, &document),
        "naive: {pattern} on {bytes}"
    );
    found
}

/// Every operator, once for and once against: whether, pattern, payload.
const OPERATORS: &str = r#"
yes | {"a": ["x", "y"]} | {"a": "y"}
no  | {"a": ["x"]} | {"a": "y"}
yes | {"a": [1]} | {"a": 1.0}
no  | {"a": [1]} | {"a": "1"}
yes | {"a": [true, null]} | {"a": null}
no  | {"a": [null]} | {}
yes | {"a": [{"prefix": "ab"}]} | {"a": "abc"}
no  | {"a": [{"prefix": "ab"}]} | {"a": "xab"}
yes | {"a": [{"prefix": {"equals-ignore-case": "AB"}}]} | {"a": "abC"}
yes | {"a": [{"suffix": ".png"}]} | {"a": "a.png"}
yes | {"a": [{"suffix": {"equals-ignore-case": ".PNG"}}]} | {"a": "a.pNg"}
no  | {"a": [{"suffix": ".png"}]} | {"a": "a.jpg"}
yes | {"a": [{"wildcard": "a*c"}]} | {"a": "abbc"}
no  | {"a": [{"wildcard": "a*c"}]} | {"a": "abb"}
yes | {"a": [{"exists": true}]} | {"a": null}
yes | {"a": [{"exists": true}]} | {"a": {"b": 1}}
no  | {"a": [{"exists": true}]} | {"a": []}
yes | {"a": [{"exists": false}]} | {"b": 1}
no  | {"a": [{"exists": false}]} | {"a": 1}
yes | {"a": {"b": [{"exists": false}]}} | {"a": 5}
yes | {"a": [{"anything-but": "x"}]} | {"a": "y"}
no  | {"a": [{"anything-but": ["x", 5]}]} | {"a": 5.0}
yes | {"a": [{"anything-but": "x"}]} | {"a": null}
no  | {"a": [{"anything-but": "x"}]} | {}
no  | {"a": [{"anything-but": "x"}]} | {"a": {"b": 1}}
no  | {"a": [{"anything-but": {"prefix": ["x", "y"]}}]} | {"a": "yes"}
yes | {"a": [{"anything-but": {"suffix": "x"}}]} | {"a": 7}
no  | {"a": [{"anything-but": {"wildcard": "*x*"}}]} | {"a": "axb"}
no  | {"a": [{"anything-but": {"equals-ignore-case": "X"}}]} | {"a": "x"}
yes | {"a": [{"numeric": ["=", 5]}]} | {"a": 5.0}
yes | {"a": [{"numeric": [">", 0, "<=", 5]}]} | {"a": 5}
no  | {"a": [{"numeric": [">", 0, "<=", 5]}]} | {"a": 0}
no  | {"a": [{"numeric": ["<", 5]}]} | {"a": "4"}
yes | {"a": [{"numeric": [">=", 0.5]}]} | {"a": 0.5}
yes | {"a": [{"equals-ignore-case": "ÄB"}]} | {"a": "äb"}
yes | {"a": [{"cidr": "10.0.0.0/24"}]} | {"a": "10.0.0.255"}
no  | {"a": [{"cidr": "10.0.0.0/24"}]} | {"a": "10.0.1.0"}
yes | {"a": [{"cidr": "2001:db8::/32"}]} | {"a": "2001:db8::1"}
no  | {"a": [{"cidr": "10.0.0.0/24"}]} | {"a": "elsewhere"}
"#;

#[test]
fn operators() {
    for row in OPERATORS.trim().lines() {
        let mut cells = row.split(" | ");
        let expected = cells.next().unwrap().trim() == "yes";
        let mut json = || serde_json::from_str::<Value>(cells.next().unwrap()).unwrap();
        let (pattern, data) = (json(), json());
        assert_eq!(matches(&json!({"data": pattern}), &data), expected, "{row}");
    }
}

#[test]
fn lists_objects_and_alternatives() {
    let lines =
        json!({"lines": [{"sku": "a", "n": 1}, {"sku": "b", "n": 9}], "tags": [["x"], "y"]});
    let cases = [
        (json!({"tags": ["x"]}), true),
        (json!({"tags": ["z"]}), false),
        (json!({"tags": [{"anything-but": "y"}]}), true),
        (json!({"lines": {"sku": ["a"], "n": [1]}}), true),
        // No single line has both.
        (json!({"lines": {"sku": ["a"], "n": [9]}}), false),
        (
            json!({"lines": {"$or": [{"sku": ["z"]}, {"n": [{"numeric": [">", 8]}]}]}}),
            true,
        ),
        (
            json!({"$or": [{"lines": {"sku": ["z"]}}, {"tags": ["y"]}]}),
            true,
        ),
        (
            json!({"tags": ["y"], "$or": [{"lines": {"sku": ["z"]}}, {"none": [1]}]}),
            false,
        ),
    ];
    for (pattern, expected) in cases {
        assert_eq!(
            matches(&json!({"data": pattern}), &lines),
            expected,
            "{pattern}"
        );
    }
}

#[test]
fn attributes_stand_at_the_top() {
    let cases = [
        (
            json!({"type": ["order.created"], "source": [{"prefix": "/"}]}),
            true,
        ),
        (
            json!({"tenant": ["acme"], "id": ["e-1"], "region": [{"prefix": "eu-"}]}),
            true,
        ),
        (
            json!({"subject": [{"prefix": {"equals-ignore-case": "order/"}}]}),
            true,
        ),
        (json!({"datacontenttype": [{"suffix": "json"}]}), true),
        (json!({"time": [{"exists": true}]}), false),
        (json!({"time": [{"exists": false}]}), true),
        (
            json!({"$or": [{"type": ["x"]}, {"data": {"a": [1]}}]}),
            true,
        ),
    ];
    for (pattern, expected) in cases {
        assert_eq!(matches(&pattern, &json!({"a": 1})), expected, "{pattern}");
    }
}

#[test]
fn the_payload_is_parsed_only_when_asked_for() {
    let head = head();
    let data = Data::json(b"{\"a\": 1}");
    let document = Document::new(&head, &data);
    let pattern = json!({"data": {"a": [1]}, "type": ["other"]});
    let filter = Filter::parse(&pattern).unwrap();
    assert!(filter.needs_data());
    assert!(!filter.matches(&document));
    assert!(!data.was_asked_for(), "the type had already decided");
    let broken = Data::json(b"{");
    assert!(
        !Filter::parse(&json!({"data": {"a": [1]}}))
            .unwrap()
            .matches(&Document::new(&head, &broken))
    );
    assert!(broken.is_unreadable());
    let structured = Data::structured(b"{\"id\": \"1\", \"data\": {\"a\": 1}}");
    assert_eq!(structured.value(), Some(&json!({"a": 1})));
    assert_eq!(Data::opaque().value(), None);
}

/// All at once, each with the path that a person has to look at.
#[test]
fn errors_come_together_with_their_paths() {
    let pattern = json!({
        "Type": ["x"],
        "source": {"a": ["b"]},
        "subject": [5],
        "data": {
            "a": "x",
            "b": [],
            "c": [{"prefix": 5}, {"matches": "x"}, {"prefix": "a", "suffix": "b"}],
            "d.e": [{"numeric": [">", 5, "<", 5]}, {"numeric": ["!=", 5]}, {"cidr": "10.0.0.0/40"}],
            "f": [{"anything-but": {"suffix": ["a", 5]}}, {"wildcard": "a**"}, {"exists": "yes"}],
            "g": {},
            "$or": [{"a": ["x"]}],
            "$and": ["x"],
        },
    });
    let errors = Filter::parse(&pattern).unwrap_err();
    let mut paths: Vec<&str> = errors.iter().map(|e| e.path.as_str()).collect();
    paths.sort_unstable();
    let expected = [
        ".Type",
        ".data.$and",
        ".data.$or",
        ".data.a",
        ".data.b",
        ".data.c[0].prefix",
        ".data.c[1]",
        ".data.c[2]",
        ".data.f[0].anything-but.suffix[1]",
        ".data.f[1].wildcard",
        ".data.f[2].exists",
        ".data.g",
        ".data[\"d.e\"][0].numeric",
        ".data[\"d.e\"][1].numeric[0]",
        ".data[\"d.e\"][2].cidr",
        ".source",
        ".subject[0]",
    ];
    assert_eq!(paths, expected, "{errors:#?}");
    assert!(Filter::parse(&json!([])).is_err());
    assert!(Filter::parse(&json!({})).is_err());
}

#[test]
fn limits_hold() {
    let nested = |depth| (0..depth).fold(json!(["x"]), |inner, _| json!({"a": inner}));
    let many = |n: usize| json!({"data": {"a": (0..n).collect::<Vec<_>>()}});
    let either = |n: usize| json!({"$or": vec![json!({"type": ["x"]}); n]});
    let fits = |value: &Value| Filter::parse(value).is_ok();
    assert!(fits(&json!({"data": nested(limit::DEPTH_MAX)})));
    assert!(!fits(&json!({"data": nested(limit::DEPTH_MAX + 1)})));
    assert!(fits(&many(limit::CONDITIONS_MAX)) && !fits(&many(limit::CONDITIONS_MAX + 1)));
    assert!(
        fits(&either(limit::OR_ALTERNATIVES_MAX)) && !fits(&either(limit::OR_ALTERNATIVES_MAX + 1))
    );
    assert!(!fits(
        &json!({"data": {"a": ["x".repeat(limit::TEXT_MAX + 1)]}})
    ));
}

#[test]
fn equalities_are_what_every_match_must_meet() {
    let pattern = json!({
        "subject": ["a", "b"],
        "data": {"c": {"d": [1]}, "e": [1, {"prefix": "x"}], "$or": [{"f": [1]}, {"f": [2]}]},
    });
    let filter = Filter::parse(&pattern).unwrap();
    let found = filter.equalities();
    let mut paths: Vec<String> = found.iter().map(|e| e.path.join("/")).collect();
    paths.sort_unstable();
    assert_eq!(paths, ["data/c/d", "subject"]);
}

/// Small alphabets, so that patterns and events often meet.
mod random {
    use super::*;

    fn text() -> impl Strategy<Value = String> {
        prop::sample::select(vec![
            "", "a", "A", "ab", "abc", "b", "10.0.0.1", "10.0.1.1", "*",
        ])
        .prop_map(str::to_owned)
    }

    fn scalar() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-2i64..3).prop_map(Value::from),
            prop::sample::select(vec![-0.5f64, 0.0, 1.0, 1.5]).prop_map(Value::from),
            text().prop_map(Value::from),
        ]
    }

    fn name() -> impl Strategy<Value = String> {
        prop::sample::select(vec!["a", "b", "c"]).prop_map(str::to_owned)
    }

    pub(super) fn event() -> impl Strategy<Value = Value> {
        scalar().prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(name(), inner, 0..4).prop_map(|m| json!(m)),
            ]
        })
    }

    fn condition() -> impl Strategy<Value = Value> {
        let wild = prop::sample::select(vec!["*", "a*", "*b", "a*c", "*a*", r"\*", "a*b*"]);
        let net = prop::sample::select(vec!["10.0.0.0/24", "10.0.0.0/8", "::/0"]);
        let text_test = prop_oneof![
            text().prop_map(|t| json!({"prefix": t})),
            text().prop_map(|t| json!({"suffix": t})),
            text().prop_map(|t| json!({"equals-ignore-case": t})),
            wild.prop_map(|t| json!({"wildcard": t})),
        ];
        let bound = prop::sample::select(vec![-1.0f64, 0.0, 0.5, 1.0]);
        let op = prop::sample::select(vec!["=", "<", "<=", ">", ">="]);
        prop_oneof![
            4 => scalar(),
            2 => text_test.clone(),
            1 => text().prop_map(|t| json!({"prefix": {"equals-ignore-case": t}})),
            1 => text().prop_map(|t| json!({"suffix": {"equals-ignore-case": t}})),
            1 => any::<bool>().prop_map(|flag| json!({"exists": flag})),
            1 => net.prop_map(|t| json!({"cidr": t})),
            1 => (op, bound).prop_map(|(op, n)| json!({"numeric": [op, n]})),
            1 => (any::<bool>(), any::<bool>()).prop_map(|(a, b)| {
                json!({"numeric": [if a { ">" } else { ">=" }, -0.5, if b { "<" } else { "<=" }, 1]})
            }),
            1 => text_test.prop_map(|t| json!({"anything-but": t})),
            1 => prop::collection::vec(scalar(), 1..3).prop_map(|v| json!({"anything-but": v})),
        ]
    }

    fn fields() -> impl Strategy<Value = Value> {
        let leaf = prop::collection::vec(condition(), 1..3)
            .prop_map(Value::from)
            .boxed();
        let object = move |inner: BoxedStrategy<Value>| {
            prop::collection::btree_map(name(), inner, 1..3)
                .prop_map(|m| json!(m))
                .boxed()
        };
        let leaves = object(leaf.clone());
        leaves.prop_recursive(3, 12, 3, move |inner| {
            let child = prop_oneof![leaf.clone(), inner.clone()].boxed();
            let either = prop::collection::vec(inner, 2..4);
            (object(child), prop::option::of(either)).prop_map(|(mut map, either)| {
                if let Some(either) = either {
                    map["$or"] = json!(either);
                }
                map
            })
        })
    }

    pub(crate) fn pattern() -> impl Strategy<Value = Value> {
        let attribute = prop::sample::select(vec![
            json!({"type": ["order.created"]}),
            json!({"type": [{"prefix": "x"}]}),
            json!({"region": [{"suffix": "1"}]}),
            json!({"time": [{"exists": false}]}),
        ]);
        let part = prop_oneof![
            4 => fields().prop_map(|fields| json!({"data": fields})),
            1 => attribute,
        ];
        prop_oneof![
            4 => part.clone(),
            1 => prop::collection::vec(part, 2..3).prop_map(|parts| json!({"$or": parts})),
        ]
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_the_naive_evaluator(pattern in random::pattern(), event in random::event()) {
        matches(&pattern, &event);
    }

    #[test]
    fn any_json_is_a_filter_or_has_reasons(value in random::event(), text in ".{0,12}") {
        for value in [value, json!({"data": {"a": [{"wildcard": text}]}})] {
            if let Err(errors) = Filter::parse(&value) {
                prop_assert!(!errors.is_empty());
            }
        }
    }
}
