//! `seawall completions`.

use clap::Args;
use clap_complete::Shell;

const EXAMPLES: &str = "\
Examples:
  seawall completions bash > /etc/bash_completion.d/seawall
  seawall completions zsh  > /usr/local/share/zsh/site-functions/_seawall
  seawall completions fish > ~/.config/fish/completions/seawall.fish";

/// Print a shell's completions
#[derive(Debug, Clone, Args)]
#[command(after_help = EXAMPLES)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_name = "SHELL", value_parser = shell)]
    pub shell: Shell,
}

fn shell(text: &str) -> Result<Shell, String> {
    match text {
        "bash" => Ok(Shell::Bash),
        "zsh" => Ok(Shell::Zsh),
        "fish" => Ok(Shell::Fish),
        _ => Err("wanted bash, zsh or fish".to_owned()),
    }
}
