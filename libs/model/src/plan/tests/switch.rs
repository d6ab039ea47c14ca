//! Pausing and resuming an endpoint.

use super::*;
use crate::catalog::EndpointStatus;

impl World {
    fn switch(&mut self, to: Switch, status: Option<&EndpointStatus>) -> Result<Plan, PlanError> {
        let erp = key("Endpoint/acme/erp");
        let plan = self.plan(|catalog, given| switch(catalog, &erp, to, status, given))?;
        self.write(&plan);
        Ok(plan)
    }

    fn generation(&self) -> u64 {
        self.stored("Endpoint/acme/erp").manifest.meta().generation
    }
}

fn gone_at(generation: u64) -> EndpointStatus {
    let json =
        format!(r#"{{"observedGeneration":{generation},"disabled":{{"reason":"gone","at":"x"}}}}"#);
    EndpointStatus::from_json(json.as_bytes()).unwrap()
}

#[test]
fn a_pause_is_part_of_the_spec_and_its_end_leaves_no_trace() {
    let mut world = World::new();
    world.apply(&endpoint("name: erp", "a")).unwrap();
    let before = world.stored("Endpoint/acme/erp").spec.clone();
    for (to, action, generation) in [
        (Switch::Resume, Action::Unchanged, 1),
        (Switch::Pause, Action::Update, 2),
        (Switch::Pause, Action::Unchanged, 2),
        (Switch::Resume, Action::Update, 3),
    ] {
        let plan = world.switch(to, None).unwrap();
        assert_eq!(
            (actions(&plan), world.generation()),
            (vec![action], generation)
        );
        let paused = world
            .stored("Endpoint/acme/erp")
            .spec
            .get("paused")
            .cloned();
        assert_eq!(paused, (generation == 2).then_some(json!(true)), "{to:?}");
    }
    assert_eq!(world.stored("Endpoint/acme/erp").spec, before);
}

/// Goal: a finding about the old generation is void after a resume, however
/// late it comes.
#[test]
fn resuming_what_is_disabled_is_a_generation_of_its_own() {
    let mut world = World::new();
    world.apply(&endpoint("name: erp", "a")).unwrap();
    let gone = gone_at(1);
    let refused = world.switch(Switch::Pause, Some(&gone)).unwrap_err();
    assert_eq!(refused.kind(), ProblemKind::Conflict, "{refused}");
    let plan = world.switch(Switch::Resume, Some(&gone)).unwrap();
    assert_eq!(
        (actions(&plan), world.generation()),
        (vec![Action::Update], 2)
    );
    assert!(gone.disabled_for(world.generation()).is_none());
    let again = world.switch(Switch::Resume, Some(&gone)).unwrap();
    assert_eq!(actions(&again), [Action::Unchanged], "the finding is void");
}

#[test]
fn what_does_not_exist_cannot_be_resumed() {
    let mut world = World::new();
    let refused = world.switch(Switch::Resume, None).unwrap_err();
    assert_eq!(refused.kind(), ProblemKind::NotFound);
}
