//! The log's text format has one line an event, whatever is in the event: a name with a line
//! break in it, quoted by an error, must not look like a line of ours.

use std::io::{self, Write};

/// Passes on what is written, an event at a time, with control characters escaped: those of
/// a terminal too.
pub(crate) struct OneLine<W>(pub(crate) W);

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(event);
        let (line, end) = match text.strip_suffix('\n') {
            Some(line) => (line, "\n"),
            None => (&*text, ""),
        };
        if line.contains(breaks) {
            let mut escaped = String::with_capacity(event.len() + 16);
            for c in line.chars() {
                match breaks(c) {
                    true => escaped.extend(c.escape_default()),
                    false => escaped.push(c),
                }
            }
            self.0.write_all((escaped + end).as_bytes())?;
        } else {
            self.0.write_all(event)?;
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// Whether some reader of a log takes it for an end of line, or for something worse.
fn breaks(c: char) -> bool {
    matches!(c, '\u{2028}' | '\u{2029}') || c.is_control() && c != '\t'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_stays_on_its_line() {
        for (event, line) in [
            ("plain é\t\n", "plain é\t\n"),
            ("\u{1b}[31m\n", "\\u{1b}[31m\n"),
            (
                "a\nb\r\0\u{85}\u{2028}c\n",
                "a\\nb\\r\\u{0}\\u{85}\\u{2028}c\n",
            ),
            ("\n\n", "\\n\n"),
            ("no end", "no end"),
            ("", ""),
        ] {
            let mut out = Vec::new();
            OneLine(&mut out).write_all(event.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), line);
        }
    }
}
