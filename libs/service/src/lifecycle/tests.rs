//! Phases go forward, holders are named, nothing global is needed.

use super::*;
use crate::clock::TestClock;
use hooklane_model::time::UnixMillis;

fn lifecycle() -> (Lifecycle, Registry, Arc<TestClock>) {
    let registry = Registry::new("test");
    let clock = Arc::new(TestClock::at(UnixMillis(0)));
    let deadline = Duration::from_secs(25);
    let new = Lifecycle::new(&registry, clock.clone(), Shutdown::new(), deadline).unwrap();
    (new, registry, clock)
}

fn exported(registry: &Registry) -> Vec<String> {
    let text = registry.render().unwrap();
    let set = |line: &&str| line.starts_with("hooklane_phase{") && line.ends_with(" 1");
    text.lines().filter(set).map(str::to_owned).collect()
}

#[test]
fn phases_only_go_forward_and_one_is_exported() {
    let (lifecycle, registry, _) = lifecycle();
    for (enter, phase, label) in [
        (Phase::Starting, Phase::Starting, "starting"),
        (Phase::Ready, Phase::Ready, "ready"),
        (Phase::HandingOver, Phase::HandingOver, "handing_over"),
        (Phase::Draining, Phase::HandingOver, "handing_over"),
        (Phase::Closed, Phase::Closed, "closed"),
        (Phase::Ready, Phase::Closed, "closed"),
    ] {
        lifecycle.enter(enter);
        assert_eq!(lifecycle.phase(), phase);
        assert_eq!(
            exported(&registry),
            [format!(r#"hooklane_phase{{phase="{label}"}} 1"#)]
        );
    }
}

#[test]
fn the_last_phase_is_announced() {
    let (lifecycle, ..) = lifecycle();
    let waiting = std::thread::spawn({
        let lifecycle = lifecycle.clone();
        move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .build()
                .unwrap();
            runtime.block_on(async {
                let patience = Duration::from_secs(30);
                let closed = tokio::time::timeout(patience, lifecycle.closed()).await;
                closed.expect("the end is announced");
            });
            lifecycle.phase()
        }
    });
    lifecycle.enter(Phase::Draining);
    lifecycle.enter(Phase::Closed);
    assert_eq!(waiting.join().unwrap(), Phase::Closed);
}

#[test]
fn holders_are_named_with_their_age_until_dropped() {
    let (lifecycle, _, clock) = lifecycle();
    let lane = lifecycle.hold("lane 3");
    clock.advance(Duration::from_secs(2));
    let seen = lifecycle.step("flush", || {
        clock.advance(Duration::from_secs(1));
        lifecycle.holders()
    });
    let expected = [("lane 3", 3), ("flush", 1)]
        .map(|(name, secs)| (name.to_owned(), Duration::from_secs(secs)));
    assert_eq!(seen, expected);
    drop(lane);
    assert_eq!(lifecycle.holders(), []);
}
