//! The functions that every read, submit or applied answer pays for, and what they are
//! called with: fixed data of the usual size, 20 questions or answers.

mod apply;
mod data;
mod login;
mod read;
mod submit;

use std::hint::black_box;

use crate::count;

/// A function with what it is called with.
pub(crate) struct Case {
    /// Names it in the baseline.
    pub(crate) name: &'static str,
    prepare: fn() -> Box<dyn FnMut()>,
}

impl Case {
    const fn new(name: &'static str, prepare: fn() -> Box<dyn FnMut()>) -> Self {
        Self { name, prepare }
    }

    /// Makes the calls; the allocations in them.
    pub(crate) fn run(self) -> u64 {
        count::allocations(&mut (self.prepare)())
    }
}

/// All of them, in an order of no meaning.
pub(crate) fn all() -> Vec<Case> {
    let groups = [
        read::cases(),
        submit::cases(),
        apply::cases(),
        login::cases(),
    ];
    groups.into_iter().flatten().collect()
}

/// Calls of `function`, whose results are dropped within the count.
fn calls<O: 'static>(mut function: impl FnMut() -> O + 'static) -> Box<dyn FnMut()> {
    Box::new(move || drop(black_box(function())))
}

/// Calls of `function`, each of which consumes a copy of `input` that is made beforehand.
fn consuming<I: Clone + 'static, O: 'static>(
    input: &I,
    mut function: impl FnMut(I) -> O + 'static,
) -> Box<dyn FnMut()> {
    let mut inputs = vec![input.clone(); count::INPUTS].into_iter();
    calls(move || inputs.next().map(&mut function))
}
