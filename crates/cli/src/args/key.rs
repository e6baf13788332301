//! `seawall key`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use seawall_engine::words::{Recipient, WriterId};

use super::place::PlaceArgs;

const GENERATE_EXAMPLES: &str = "\
Examples:
  seawall key generate --output ops.key            prints the recipient for `init --recipient`
  seawall key generate --output ops.key --owner    with the owner's key in it, for `init --identity`

Keep the files away from database hosts, in two places at least. Without one of them no backup can be read.";

const SHOW_EXAMPLES: &str = "\
Examples:
  seawall key show
  seawall key show --identity ops.key       also whether this identity opens the keys";

const RECIPIENT_EXAMPLES: &str = "\
Example:
  seawall key add-recipient age1… --identity ops.key";

const WRITER_EXAMPLES: &str = "\
Examples, for a second host of the cluster:
  seawall key add-writer --label db2.example.net --output db2.key --identity ops.key
then carry db2.key to that host as its repository.writer_key_file.
For the host that prunes:
  seawall key add-writer --right prune --label keeper --output prune.key --identity ops.key
then carry prune.key to that host as its repository.prune_key_file.";

const REVOKE_EXAMPLES: &str = "\
Example, for a host that was taken over or is gone:
  seawall key revoke-writer 00112233445566778899aabbccddeeff --reason 'host stolen' --identity ops.key";

/// Who can read, who may write: identities, recipients, writers
#[derive(Debug, Clone, Args)]
pub struct KeyArgs {
    #[command(subcommand)]
    pub command: KeyCommand,
}

/// What to do with keys.
#[derive(Debug, Clone, Subcommand)]
pub enum KeyCommand {
    Generate(GenerateArgs),
    Show(ShowKeysArgs),
    AddRecipient(AddRecipientArgs),
    AddWriter(AddWriterArgs),
    RevokeWriter(RevokeWriterArgs),
}

/// Make an identity; best on a machine that is no database host
#[derive(Debug, Clone, Args)]
#[command(after_help = GENERATE_EXAMPLES)]
pub struct GenerateArgs {
    /// The file to write; it must not exist
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Put the owner's key into the same file, so that `init` need not make it on a database host
    #[arg(long)]
    pub owner: bool,
}

/// Show recipients, generations of keys, writers and the owner's public key
#[derive(Debug, Clone, Args)]
#[command(after_help = SHOW_EXAMPLES)]
pub struct ShowKeysArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
}

/// Let one more identity read everything, past and future; --identity: one that can already, and the file with the owner's key
/// where `init` did not make it
#[derive(Debug, Clone, Args)]
#[command(after_help = RECIPIENT_EXAMPLES)]
pub struct AddRecipientArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The public half of the identity
    #[arg(value_name = "age1…")]
    pub recipient: Recipient,
}

/// Let one more host write
#[derive(Debug, Clone, Args)]
#[command(after_help = WRITER_EXAMPLES)]
pub struct AddWriterArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// What to call it, such as the host's name
    #[arg(long, value_name = "TEXT")]
    pub label: String,
    /// What it may do: write backups and WAL, or prune (decide what is deleted; best for a host that is no database host)
    #[arg(long, value_name = "RIGHT", value_enum, default_value = "write")]
    pub right: RightChoice,
    /// The key file to write; one that an interrupted run began is taken up
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}

/// What a new writer may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RightChoice {
    /// Write backups and WAL.
    Write,
    /// Decide what is deleted.
    Prune,
}

/// Believe nothing that this writer signs from now on
#[derive(Debug, Clone, Args)]
#[command(after_help = REVOKE_EXAMPLES)]
pub struct RevokeWriterArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The writer; `seawall key show` lists them
    #[arg(value_name = "WRITER")]
    pub writer: WriterId,
    /// Why; kept in the repository for ever
    #[arg(long, value_name = "TEXT")]
    pub reason: String,
}
