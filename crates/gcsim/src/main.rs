//! `gcsim`: the simulator as a process of its own, for tests that kill or pause it and for the demonstration.
//!
//! Prints its address on one line once it answers, and then nothing more.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use seawall_gcsim::{Options, Simulator};

/// A strict simulator of Google Cloud Storage, for tests.
#[derive(Parser)]
#[command(name = "gcsim", version)]
struct Arguments {
    /// Where to listen: a loopback address; port 0 takes a free one
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Keep everything in this directory, so that a restart goes on where this one was killed
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Make this bucket at the start if there is none, as NAME or NAME:LOCATION; may be repeated
    #[arg(long, value_name = "NAME[:LOCATION]")]
    bucket: Vec<String>,
    /// Do not refuse more than one write a second to a name
    #[arg(long)]
    no_rate_limit: bool,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(cause) => {
            writeln!(std::io::stderr(), "gcsim: {cause}").unwrap_or_default();
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> Result<(), Box<dyn std::error::Error>> {
    let simulator = Simulator::start_with(&Options { listen: arguments.listen, data: arguments.data })?;
    if arguments.no_rate_limit {
        simulator.rate_limit(false)?;
    }
    for bucket in &arguments.bucket {
        let (name, location) = bucket.split_once(':').unwrap_or((bucket, "US"));
        match simulator.create_bucket(name, location) {
            Ok(()) | Err(seawall_gcsim::ControlError::Refused { status: 409, .. }) => {}
            Err(cause) => return Err(cause.into()),
        }
    }
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{}", simulator.url())?;
    stdout.flush()?;
    simulator.run();
    Ok(())
}
