//! `memora-srs completions`.

use std::io::Write;

use clap::{Args, Command};
use clap_complete::Shell;

pub(crate) const EXAMPLES: &str = "\
Examples:
  memora-srs completions bash
  memora-srs completions zsh
  memora-srs completions fish

Where it goes: bash /etc/bash_completion.d/memora-srs (or
~/.local/share/bash-completion/completions/memora-srs), zsh _memora-srs in a folder of
$fpath, fish ~/.config/fish/completions/memora-srs.fish.";

/// Print what makes a shell complete this program's commands and options.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Completions {
    /// Which shell.
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

impl Completions {
    /// Of the program with this command line.
    pub(crate) fn run(self, mut command: Command) -> anyhow::Result<()> {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut command, "memora-srs", &mut script);
        if self.shell == Shell::Bash {
            // clap_complete spells the hyphen of the program's name in two ways, so that bash
            // would find no command of it.
            script = String::from_utf8(script)?
                .replace("memora__subcmd__srs", "memora__srs")
                .into_bytes();
        }
        std::io::stdout().write_all(&script)?;
        Ok(())
    }
}
