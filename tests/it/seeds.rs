//! What fuzzing starts from, and what it found, is read again.

use std::fs;
use std::path::Path;

#[test]
fn every_seed_of_the_fuzz_targets_is_read_without_harm() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds");
    for (name, target) in memora_fuzz::TARGETS {
        let files = fs::read_dir(seeds.join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let mut read = 0;
        for file in files {
            let path = file.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            // Said only if it fails.
            println!("{}", path.display());
            target(&bytes);
            // Cut short, as a connection that breaks cuts it.
            for end in (0..bytes.len()).step_by(bytes.len() / 50 + 1) {
                target(&bytes[..end]);
            }
            read += 1;
        }
        assert!(read >= 4, "{name}: {read} seeds");
    }
}
