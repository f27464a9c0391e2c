//! The files of `patches/`, built into the binary.

macro_rules! patch {
    ($file:literal) => {
        include_str!(concat!("../../../../patches/", $file))
    };
}

/// Native tables and the statements that make them, in order.
pub(super) const NATIVE_TABLES: &[(&str, &str)] = &[
    ("memora_srs_journal", patch!("0001_journal.sql")),
    ("memora_srs_audit", patch!("0002_audit.sql")),
    ("memora_srs_review_log", patch!("0003_review_log.sql")),
    ("memora_srs_state", patch!("0004_state.sql")),
];

pub(super) const SEASON_COLUMNS: &str = patch!("0005_season_columns.sql");
pub(super) const TRACKER_COLUMNS: &str = patch!("0006_tracker_columns.sql");
pub(super) const ARCHIVED_TRACKER_COLUMNS: &str = patch!("0007_archived_tracker_columns.sql");
pub(super) const DEFAULT_SEASON: &str = patch!("0008_default_season.sql");
pub(super) const ACTIVE_SEASON: &str = patch!("0009_active_season.sql");
pub(super) const COUNT_ROWS: &str = patch!("0010_count_rows.sql");
pub(super) const ROWS_WITHOUT_SEASON: &str = patch!("0011_rows_without_season.sql");
pub(super) const GIVE_ROWS_A_SEASON: &str = patch!("0012_give_rows_a_season.sql");
pub(super) const ROWS_THAT_MEET: &str = patch!("0013_rows_that_meet.sql");
pub(super) const NAMES_USED_TWICE: &str = patch!("0014_names_used_twice.sql");
pub(super) const COUNT_DUPLICATES: &str = patch!("0015_count_duplicates.sql");
pub(super) const INDEX_DUPLICATES: &str = patch!("0016_index_duplicates.sql");
pub(super) const COUNT_INDEXED_DUPLICATES: &str = patch!("0017_count_indexed_duplicates.sql");
pub(super) const DUPLICATES: &str = patch!("0018_duplicates.sql");
pub(super) const SEASONS_OF_TABLE: &str = patch!("0019_seasons_of_table.sql");
pub(super) const NOTE_PARTITIONS: &str = patch!("0020_note_partitions.sql");
pub(super) const JOURNAL_WORK: &str = patch!("0021_journal_work.sql");
/// What is there when that has run.
pub(super) const JOURNAL_WORK_INDEXES: [&str; 2] = ["idx_journal_work", "idx_journal_job"];

/// The order of states, best first; the one comparison of the engine as far as old rows
/// have what it compares, then whatever makes it total.
const RANK: &str = "t.review_version DESC, t.last_review_date DESC, t.next_review_date DESC, \
                    t.stability DESC, t.modified DESC, t.name DESC";

/// Replaces `{name}` in a patch. `{rank}` is always known.
pub(super) fn fill(patch: &str, values: &[(&str, &str)]) -> String {
    values
        .iter()
        .chain(&[("rank", RANK)])
        .fold(without_header(patch).to_owned(), |text, (name, value)| {
            text.replace(&format!("{{{name}}}"), value)
        })
}

/// The statement without the comment before it, whose braces explain and whose text the
/// server need not parse.
pub(super) fn without_header(patch: &str) -> &str {
    let mut rest = patch;
    while let Some((line, after)) = rest.split_once('\n') {
        if !line.is_empty() && !line.starts_with("--") {
            break;
        }
        rest = after;
    }
    rest.trim_end()
}

/// The columns that an `ADD COLUMN IF NOT EXISTS` patch adds.
pub(super) fn columns_added(patch: &str) -> impl Iterator<Item = &str> {
    without_header(patch)
        .split("ADD COLUMN IF NOT EXISTS `")
        .skip(1)
        .filter_map(|rest| rest.split('`').next())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_read_as_written() {
        assert!(without_header(NATIVE_TABLES[0].1).starts_with("CREATE TABLE"));
        assert_eq!(
            columns_added(TRACKER_COLUMNS).collect::<Vec<_>>(),
            ["season", "review_version"]
        );
    }

    #[test]
    fn no_placeholder_stays_open() {
        let sql = fill(
            DUPLICATES,
            &[("table", "`t`"), ("index", "i"), ("after", "TRUE")],
        );
        assert!(!sql.contains('{') && !sql.contains("--"), "{sql}");
    }
}
