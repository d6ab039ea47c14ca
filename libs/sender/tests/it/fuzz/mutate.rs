//! Inputs that are nearly right: the ones that get past the first check.

use fastrand::Rng;

use crate::targets::Target;

/// Longer ones only cost time.
const LENGTH_MAX: usize = 2_100;
/// Inputs kept because they were taken.
const KEPT_MAX: usize = 256;

/// Makes inputs for one target, from its seeds and from what was taken.
pub(crate) struct Inputs {
    random: Rng,
    kept: Vec<Vec<u8>>,
    seeds: usize,
    /// Seeds that had their turn as they are.
    begun: usize,
    pieces: &'static [&'static str],
}

/// What came of a run.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) taken: u64,
    pub(crate) refused: u64,
}

impl Inputs {
    pub(crate) fn new(target: &Target, seed: u64) -> Self {
        let kept = (target.seeds)();
        Self {
            random: Rng::with_seed(seed),
            seeds: kept.len(),
            begun: 0,
            kept,
            pieces: target.pieces,
        }
    }

    /// Runs one more input. A panic of the target is told with the input.
    pub(crate) fn step(&mut self, target: &Target, tally: &mut Tally) {
        let input = self.next();
        let taken = std::panic::catch_unwind(|| (target.run)(&input)).unwrap_or_else(|_said| {
            panic!(
                "{} fails for {:?}",
                target.name,
                String::from_utf8_lossy(&input)
            )
        });
        if !taken {
            tally.refused += 1;
            return;
        }
        tally.taken += 1;
        if self.kept.len() < self.seeds + KEPT_MAX {
            self.kept.push(input);
        } else {
            let at = self.seeds + self.random.usize(..KEPT_MAX);
            self.kept[at] = input;
        }
    }

    fn next(&mut self) -> Vec<u8> {
        if self.begun < self.seeds {
            self.begun += 1;
            return self.kept[self.begun - 1].clone();
        }
        let mut input = self.kept[self.random.usize(..self.kept.len())].clone();
        for _ in 0..self.random.usize(1..=4) {
            let at = self.random.usize(..=input.len());
            match self.random.u8(..6) {
                0 if at < input.len() => input[at] = self.random.u8(..),
                1 if at < input.len() => input[at] ^= 1 << self.random.u8(..8),
                2 => input.truncate(at),
                3 if at < input.len() => {
                    let end = at + self.random.usize(..=(input.len() - at).min(8));
                    input.drain(at..end);
                }
                4 => {
                    let other = &self.kept[self.random.usize(..self.kept.len())];
                    let from = self.random.usize(..=other.len());
                    input.truncate(at);
                    input.extend_from_slice(&other[from..]);
                }
                _ => {
                    let piece = self.pieces[self.random.usize(..self.pieces.len())];
                    input.splice(at..at, piece.bytes());
                }
            }
        }
        input.truncate(LENGTH_MAX);
        input
    }
}
