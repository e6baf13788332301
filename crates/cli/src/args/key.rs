//! `seawall key`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use seawall_engine::words::{Recipient, WriterId};

use super::place::{ClusterArgs, PlaceArgs};

const PASSPHRASE_EXAMPLES: &str = "\
Examples:
  seawall key add-passphrase --identity ops.key                              asks at the terminal, twice
  seawall key add-passphrase --identity ops.key --new-passphrase-file words  from a file's only line

Take six random words or more: whoever has a copy of the repository can try without end.
Then, wherever an identity is asked for: --passphrase-file words";

const ROTATE_EXAMPLES: &str = "\
A new generation, in three steps:
  seawall key rotate --identity ops.key                                      where the identity is
  seawall key host-update --output update.keys --identity ops.key            there, too
  seawall key accept update.keys                                             on each host that writes, carried there

So that somebody does not read what comes next:
  seawall key rotate --without age1… --identity ops.key

What was stored before stays readable for all who could read it. The next backup of each host is a full one.";

const HOST_UPDATE_EXAMPLES: &str = "\
Example:
  seawall key host-update --output update.keys --identity ops.key

The file has what the hosts' key files have but their signing keys: it opens no content, and shows names and sizes to
whoever has it. Carry it as you carry key files, and delete it afterwards.";

const ACCEPT_EXAMPLES: &str = "\
Example, on the host and as the user that owns its key file:
  sudo -u postgres seawall key accept update.keys";

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
    AddPassphrase(AddPassphraseArgs),
    AddWriter(AddWriterArgs),
    RevokeWriter(RevokeWriterArgs),
    Rotate(RotateArgs),
    HostUpdate(HostUpdateArgs),
    Accept(AcceptArgs),
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

/// Let whoever knows a passphrase read everything, past and future; --identity: one that can already
#[derive(Debug, Clone, Args)]
#[command(after_help = PASSPHRASE_EXAMPLES)]
pub struct AddPassphraseArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// File with the new passphrase on its only line [default: asked at the terminal]
    #[arg(long, value_name = "FILE")]
    pub new_passphrase_file: Option<PathBuf>,
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

/// Start a new generation of the cluster's keys, for the recipients of the newest one
#[derive(Debug, Clone, Args)]
#[command(after_help = ROTATE_EXAMPLES)]
pub struct RotateArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// A recipient who shall not read what comes next; may be repeated
    #[arg(long, value_name = "age1…")]
    pub without: Vec<Recipient>,
    /// Go on with a single recipient: when its identity is lost, so is every backup
    #[arg(long)]
    pub one_key: bool,
}

/// Write what hosts need of new keys into a file, to be carried to them
#[derive(Debug, Clone, Args)]
#[command(after_help = HOST_UPDATE_EXAMPLES)]
pub struct HostUpdateArgs {
    #[command(flatten)]
    pub place: PlaceArgs,
    /// The file to write; it must not exist
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
}

/// Take new keys into this host's key file
#[derive(Debug, Clone, Args)]
#[command(after_help = ACCEPT_EXAMPLES)]
pub struct AcceptArgs {
    #[command(flatten)]
    pub cluster: ClusterArgs,
    /// The file that `key host-update` wrote
    #[arg(value_name = "FILE")]
    pub update: PathBuf,
}
