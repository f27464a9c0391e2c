//! What is counted: a region of calls, and the allocations in it.
#![allow(unsafe_code)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

/// Calls of one region: so many that what happens only now and then, as a map that grows,
/// counts for its share.
pub(crate) const CALLS: usize = 20;
/// Calls before it, which make what is made once.
const WARM_UP: usize = 2;
/// Inputs that a case needs, if each call consumes one.
pub(crate) const INPUTS: usize = WARM_UP + CALLS;

/// The system's allocator, which counts.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: all of it is the system's allocator; counting allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { memora_allocate(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Growing is what a missing capacity costs.
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: as above.
        unsafe { memora_reallocate(block, layout, size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { memora_release(block, layout) }
    }
}

// What the system's allocator does depends on all that was allocated before: it is left out
// of the instructions by the names of these. Each does something after its call, so that the
// call is one and no jump.

// SAFETY: nothing else has this name.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe fn memora_allocate(layout: Layout) -> *mut u8 {
    // SAFETY: as the caller promises.
    black_box(unsafe { System.alloc(layout) })
}

// SAFETY: nothing else has this name.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe fn memora_reallocate(block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
    // SAFETY: as the caller promises.
    black_box(unsafe { System.realloc(block, layout, size) })
}

// SAFETY: nothing else has this name.
#[unsafe(no_mangle)]
#[inline(never)]
unsafe fn memora_release(block: *mut u8, layout: Layout) {
    // SAFETY: as the caller promises.
    unsafe { System.dealloc(block, layout) }
    black_box(&layout);
}

/// Warms up, then counts the allocations of [`CALLS`] calls.
pub(crate) fn allocations(call: &mut dyn FnMut()) -> u64 {
    for _ in 0..WARM_UP {
        call();
    }
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    memora_counted_region(call);
    ALLOCATIONS.load(Ordering::Relaxed) - before
}

/// Callgrind counts what happens in here and below. It finds the function by its name, which
/// no compiler may change.
// SAFETY: nothing else has this name.
#[unsafe(no_mangle)]
#[inline(never)]
fn memora_counted_region(call: &mut dyn FnMut()) {
    for _ in 0..CALLS {
        call();
    }
}
