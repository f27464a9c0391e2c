//! The Lua scripts, each with the shared prelude in front.

use std::sync::LazyLock;

use redis::Script;

macro_rules! script {
    ($(#[$doc:meta])* $name:ident, $file:literal) => {
        $(#[$doc])*
        pub(super) static $name: LazyLock<Script> = LazyLock::new(|| {
            let script = concat!(include_str!("scripts/prelude.lua"), include_str!($file));
            if crate::failpoint::planted("no_instance") {
                return Script::new(&script.replace("sha1hex(run .. data)", "sha1hex('')"));
            }
            Script::new(script)
        });
    };
}

script!(DUE, "scripts/due.lua");
script!(STATES, "scripts/states.lua");
script!(APPLY, "scripts/apply.lua");
script!(NAME, "scripts/name.lua");
script!(LEASE, "scripts/lease.lua");
script!(STAGE, "scripts/stage.lua");
script!(PUBLISH, "scripts/publish.lua");
script!(INVALIDATE, "scripts/invalidate.lua");
script!(RELEASE, "scripts/release.lua");
script!(PUT, "scripts/put.lua");
script!(REMOVE, "scripts/remove.lua");
script!(GLANCE, "scripts/glance.lua");
script!(SCAN, "scripts/scan.lua");
script!(SIZE, "scripts/size.lua");
script!(WHOLE, "scripts/whole.lua");
script!(SAMPLE, "scripts/sample.lua");
script!(MEMBERS, "scripts/members.lua");
script!(INSPECT, "scripts/inspect.lua");
script!(MEND, "scripts/mend.lua");
