//! Secrets and keys that give way to others.

use super::*;

#[test]
fn a_rekey_changes_no_generation_and_stops_where_it_is_told() {
    let mut world = World::new();
    for name in ["a", "b", "c"] {
        let file = endpoint("{scheme: standard}").replace("erp}", &format!("{name}}}"));
        world.apply(&file).unwrap();
    }
    let mut move_one = |_: &SecretPlace<'_>, sealed: &str| {
        let moved = sealed.replace("hks1.k.", "hks1.k2.");
        Ok((moved != sealed).then_some(moved))
    };
    let first = world.plan(|catalog, given, _| rekey(catalog, given, 2, &mut move_one));
    assert_eq!((first.moved, first.right, first.more), (2, 0, true));
    world.write(&first.plan);
    let second = world.plan(|catalog, given, _| rekey(catalog, given, 2, &mut move_one));
    assert_eq!((second.moved, second.right, second.more), (1, 2, false));
    world.write(&second.plan);
    for (_, document) in world.catalog.documents() {
        assert_eq!(document.manifest.meta().generation, 1);
        assert!(document.spec.to_string().contains("hks1.k2."));
    }
    // Secrets that are seen are the same ones still.
    let shown = world.catalog.documents()[0].1.to_shown().to_string();
    assert_eq!(actions(&world.apply(&shown).unwrap()), [Action::Unchanged]);
    let mut fail = |_: &SecretPlace<'_>, _: &str| Err("key k9 is missing".to_owned());
    let failed = world.plan(|catalog, given, _| rekey(catalog, given, 2, &mut fail));
    assert_eq!((failed.problems.len(), failed.plan.writes.len()), (3, 0));
    assert!(
        failed.problems[0]
            .1
            .starts_with("spec.signing.secrets[0]: key k9")
    );
}

#[test]
fn a_rotation_puts_the_new_one_first_and_ends_the_old_ones() {
    let hour = Duration::from_secs(3_600);
    let mut world = World::new();
    world
        .apply(&standard(&format!(
            "{{value: {CLEAR}}}, {{valueFrom: {{file: soon}}, expiresAt: '{}'}}, {{valueFrom: \
             {{file: gone}}, expiresAt: '{}'}}",
            T0.after(2 * hour),
            T0
        )))
        .unwrap();
    let (before, _) = world.stored();
    let key = world.catalog.documents()[0].0.clone();
    let rotate_to = |world: &mut World, value: Option<&str>, overlap| {
        let value = value.map(|text| Secret::from(text.to_owned()));
        let rotation = Rotation {
            value,
            after: Duration::ZERO,
            overlap,
        };
        let plan =
            world.plan(|catalog, given, book| rotate(catalog, &key, &rotation, given, book))?;
        world.write(&plan);
        Ok::<_, PlanError>(plan)
    };
    let plan = rotate_to(&mut world, None, 24 * hour).unwrap();
    let written = String::from_utf8_lossy(plan.writes[0].1.as_ref().unwrap()).into_owned();
    assert!(!written.contains(OTHER), "{written}");
    let (after, generation) = world.stored();
    assert_eq!(generation, 2);
    let secrets = after["signing"]["secrets"].as_array().unwrap();
    assert_eq!(secrets.len(), 3);
    assert_eq!(secrets[0].get("expiresAt"), None);
    assert_ne!(
        secrets[0]["sealed"],
        before["signing"]["secrets"][0]["sealed"]
    );
    assert_eq!(
        secrets[1]["sealed"],
        before["signing"]["secrets"][0]["sealed"]
    );
    assert_eq!(secrets[1]["expiresAt"], T0.after(24 * hour).to_rfc3339());
    assert_eq!(secrets[2]["expiresAt"], T0.after(2 * hour).to_rfc3339());
    // What is there already is no rotation.
    for value in [OTHER, CLEAR] {
        let error = rotate_to(&mut world, Some(value), hour).unwrap_err();
        assert!(
            error.to_string().contains("has this secret already"),
            "{error}"
        );
    }
    // No overlap: the old ones are gone with the write.
    let new = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
    rotate_to(&mut world, Some(new), Duration::ZERO).unwrap();
    let secrets = world.stored().0["signing"]["secrets"].clone();
    assert_eq!(secrets.as_array().unwrap().len(), 1);
    let error = rotate_to(&mut world, Some("hunter2"), hour).unwrap_err();
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn rotations_keep_a_bounded_number_of_old_secrets() {
    let mut world = World::new();
    world.apply(&endpoint("{scheme: standard}")).unwrap();
    let key = world.catalog.documents()[0].0.clone();
    for round in 0..12u8 {
        let value = format!(
            "whsec_{}",
            "A".repeat(39) + &char::from(b'a' + round).to_string()
        );
        let rotation = Rotation {
            value: Some(Secret::from(value)),
            after: Duration::ZERO,
            overlap: Duration::from_secs(3_600),
        };
        let plan = world.plan(|catalog, given, book| rotate(catalog, &key, &rotation, given, book));
        world.write(&plan.unwrap());
    }
    let secrets = world.stored().0["signing"]["secrets"].clone();
    assert_eq!(secrets.as_array().unwrap().len(), 10);
}

#[test]
fn what_does_not_sign_is_not_rotated() {
    let mut world = World::new();
    world.apply(&endpoint("{scheme: none}")).unwrap();
    let mut key = world.catalog.documents()[0].0.clone();
    for expected in ["does not sign", "does not exist"] {
        let rotation = Rotation {
            value: None,
            after: Duration::ZERO,
            overlap: Duration::ZERO,
        };
        let plan = world.plan(|catalog, given, book| rotate(catalog, &key, &rotation, given, book));
        let error = plan.unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
        key.name = "other".to_owned();
    }
}

/// Goal: between the old secret and one that signs later there is no moment
/// without a valid one. Method: two such rotations, the second before the first
/// one's secret signs.
#[test]
fn a_secret_that_signs_later_leaves_no_gap() {
    let hour = Duration::from_secs(3_600);
    let mut world = World::new();
    world
        .apply(&standard(&format!("{{value: {CLEAR}}}")))
        .unwrap();
    let key = world.catalog.documents()[0].0.clone();
    let mut rotate_in = |hours: u32, value: &str| {
        let rotation = Rotation {
            value: Some(Secret::from(value.to_owned())),
            after: hours * hour,
            overlap: Duration::ZERO,
        };
        let plan = world.plan(|catalog, given, book| rotate(catalog, &key, &rotation, given, book));
        world.write(&plan.unwrap());
        let spec = world.stored().0;
        let times = |name: &str| -> Vec<Option<String>> {
            let secrets = spec["signing"]["secrets"].as_array().unwrap().iter();
            let time = secrets.map(|it| Some(it.get(name)?.as_str()?.to_owned()));
            time.collect()
        };
        (times("notBefore"), times("expiresAt"))
    };
    let at = |hours: u32| Some(T0.after(hours * hour).to_rfc3339());
    let in_two = rotate_in(2, OTHER);
    assert_eq!(in_two, (vec![at(2), None], vec![None, at(2)]));
    // The one that never comes to sign is left out.
    let new = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
    let in_one = rotate_in(1, new);
    assert_eq!(in_one, (vec![at(1), None], vec![None, at(1)]));
}
