//! What tests hold: the control API as methods, over a connection of its own each.
//!
//! Promise: it blocks for the moment of one small request and needs no runtime, so that it serves tests with and without one;
//! it works on a simulator in this process and on one in another alike.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};

use crate::counters::Counted;
use crate::faults::{Fault, Rule, Standing, When};
use crate::operation::{Class, Operation};
use crate::rights::Credential;

/// The control API did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// The simulator cannot be reached, or went away in the middle.
    #[error("the simulator does not answer")]
    Unreachable(#[from] io::Error),
    /// It refused.
    #[error("the simulator refused with {status}: {body}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What it said.
        body: String,
    },
    /// Its answer is not what this method reads.
    #[error("the simulator's answer cannot be read")]
    Answer(#[from] serde_json::Error),
}

type Result<T> = std::result::Result<T, ControlError>;

/// Handle on a running simulator.
#[derive(Clone, Copy, Debug)]
pub struct Control {
    address: SocketAddr,
}

impl Control {
    /// On the simulator that listens there.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self { address }
    }

    /// What clients are pointed at, such as `http://127.0.0.1:4443`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Makes a bucket in a location, with every other setting as the service's default.
    ///
    /// # Errors
    /// It exists, or its name is none.
    pub fn create_bucket(&self, name: &str, location: &str) -> Result<()> {
        self.create_bucket_with(&json!({ "name": name, "location": location }), "project", false)
    }

    /// Makes a bucket from a resource as "Buckets: insert" takes it.
    ///
    /// # Errors
    /// It exists, or a field is wrong or not simulated.
    pub fn create_bucket_with(&self, resource: &Value, project: &str, object_retention: bool) -> Result<()> {
        let path = format!("buckets?project={project}&enableObjectRetention={object_retention}");
        self.send("POST", &path, resource).map(drop)
    }

    /// Makes a bucket's retention policy final.
    ///
    /// # Errors
    /// There is no such bucket, or it has no retention policy.
    pub fn lock_bucket(&self, name: &str) -> Result<()> {
        self.send("POST", "lock", &json!({ "bucket": name })).map(drop)
    }

    /// Sets or releases a temporary hold on an object.
    ///
    /// # Errors
    /// There is no such object.
    pub fn hold(&self, bucket: &str, name: &str, on: bool) -> Result<()> {
        self.send("POST", "hold", &json!({ "bucket": bucket, "name": name, "on": on })).map(drop)
    }

    /// Adds a rule; its number.
    ///
    /// # Errors
    /// The simulator does not answer.
    pub fn fault(&self, when: When, fault: Fault) -> Result<u64> {
        let answer = self.send("POST", "faults", &Rule { when, fault })?;
        Ok(answer["id"].as_u64().unwrap_or_default())
    }

    /// Removes a rule; what it holds goes on.
    ///
    /// # Errors
    /// There is no such rule.
    pub fn release(&self, id: u64) -> Result<()> {
        self.send("DELETE", &format!("faults/{id}"), &Value::Null).map(drop)
    }

    /// Removes all rules; what they hold goes on.
    ///
    /// # Errors
    /// The simulator does not answer.
    pub fn release_all(&self) -> Result<()> {
        self.send("DELETE", "faults", &Value::Null).map(drop)
    }

    /// All rules and how they stand.
    ///
    /// # Errors
    /// The simulator does not answer.
    pub fn faults(&self) -> Result<Vec<Standing>> {
        Ok(serde_json::from_value(self.send("GET", "faults", &Value::Null)?)?)
    }

    /// Requests since the start or the last reset.
    ///
    /// # Errors
    /// The simulator does not answer.
    pub fn counters(&self) -> Result<Vec<Counted>> {
        Ok(serde_json::from_value(self.send("GET", "counters", &Value::Null)?)?)
    }

    /// How many requests of this operation came, whatever they were answered.
    ///
    /// # Errors
    /// The simulator does not answer.
    pub fn requests(&self, operation: Operation) -> Result<u64> {
        let counted = self.counters()?.into_iter().filter(|counted| counted.operation == operation);
        Ok(counted.map(|counted| counted.count.requests).sum())
    }

    /// How many requests of this class of price came and were answered. Requests that ended in a 5xx or without an
    /// answer are not priced (*assumed* for the latter).
    ///
    /// # Errors
    /// The simulator does not answer.
    pub fn priced(&self, class: Class) -> Result<u64> {
        let answered = |counted: &Counted| counted.class == class && (1..500).contains(&counted.status);
        let counted = self.counters()?.into_iter().filter(answered);
        Ok(counted.map(|counted| counted.count.requests).sum())
    }

    /// # Errors
    /// The simulator does not answer.
    pub fn reset_counters(&self) -> Result<()> {
        self.send("DELETE", "counters", &Value::Null).map(drop)
    }

    /// Moves the simulated world's clock forward.
    ///
    /// # Errors
    /// The simulator does not answer.
    pub fn advance(&self, by: Duration) -> Result<()> {
        self.send("POST", "clock", &json!({ "advance_seconds": by.as_secs_f64() })).map(drop)
    }

    /// Says who there is, by bearer token; none: everybody may do everything.
    ///
    /// # Errors
    /// A grant has a role or permission that the simulator does not know.
    pub fn credentials(&self, known: &BTreeMap<String, Credential>) -> Result<()> {
        self.send("PUT", "credentials", known).map(drop)
    }

    /// The permissions that requests needed and had since the start or the last reset, by the credential's name.
    ///
    /// # Errors
    /// The simulator does not answer.
    pub fn rights_used(&self) -> Result<BTreeMap<String, BTreeSet<String>>> {
        Ok(serde_json::from_value(self.send("GET", "rights", &Value::Null)?)?)
    }

    /// Forgets them.
    ///
    /// # Errors
    /// The simulator does not answer.
    pub fn forget_rights_used(&self) -> Result<()> {
        self.send("DELETE", "rights", &Value::Null).map(drop)
    }

    /// Whether more than one write a second to a name is refused; it is, at first.
    ///
    /// # Errors
    /// The simulator does not answer.
    pub fn rate_limit(&self, on: bool) -> Result<()> {
        self.send("POST", "settings", &json!({ "rate_limit": on })).map(drop)
    }

    /// Turns over one bit of what is stored, silently.
    ///
    /// # Errors
    /// There is no such object, or it is shorter.
    pub fn damage(&self, bucket: &str, name: &str, byte: u64, bit: u8) -> Result<()> {
        let what = json!({ "bucket": bucket, "name": name, "byte": byte, "bit": bit });
        self.send("POST", "damage", &what).map(drop)
    }

    /// # Errors
    /// The simulator does not answer.
    pub fn health(&self) -> Result<Value> {
        self.send("GET", "health", &Value::Null)
    }

    fn send(&self, method: &str, path: &str, body: &impl Serialize) -> Result<Value> {
        let body = serde_json::to_string(body)?;
        let (status, answer) = self.exchange(method, &format!("/_control/{path}"), &body)?;
        if status == 200 {
            Ok(serde_json::from_str(&answer)?)
        } else {
            Err(ControlError::Refused { status, body: answer })
        }
    }

    fn exchange(&self, method: &str, path: &str, body: &str) -> io::Result<(u16, String)> {
        let mut stream = TcpStream::connect_timeout(&self.address, Duration::from_secs(10))?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.address);
        stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
        match (status, answer.split_once("\r\n\r\n")) {
            (Some(status), Some((_, body))) => Ok((status, body.to_owned())),
            _ => Err(io::Error::new(io::ErrorKind::InvalidData, "no HTTP answer")),
        }
    }
}
