//! A site in two simulated buckets, and who may do what there: logins with the rights of the files beneath `config/iam/google`, and no others.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use seawall_gcsim::{Control, Credential, Grant, Simulator};
use seawall_testkit::identity::write_file;
use seawall_testkit::{Context as _, Failure, Outcome, Result, Server, majors, run_seawall};
use serde_json::{Value, json};

use super::Site;

/// The roles that have files.
pub(crate) const ROLES: [&str; 4] = ["writer", "pruner", "reader", "observer"];
const BUCKET: &str = "acme-dr";

/// A file beneath `config`.
pub(crate) fn config(path: &str) -> Result<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config").join(path);
    std::fs::read_to_string(&path).context(|| format!("reading {}", path.display()))
}

/// The permissions that a role's file gives.
pub(crate) fn of_role(role: &str) -> Result<BTreeSet<String>> {
    let text = config(&format!("iam/google/{role}.yaml"))?;
    let (_, listed) = text
        .split_once("includedPermissions:\n")
        .ok_or_else(|| Failure::new(format!("{role}.yaml includes no permissions")))?;
    let permissions = listed.lines().map(|line| line.strip_prefix("- ").map(str::to_owned));
    permissions.collect::<Option<_>>().ok_or_else(|| Failure::new(format!("{role}.yaml: {listed}")))
}

/// A site whose repository lies in two buckets, each in a simulator and a project of its own; its settings are those of the token
/// `writer`. At first that is all that there is, with the writer's rights.
pub(crate) struct InBuckets {
    pub(crate) site: Site,
    pub(crate) one: Simulator,
    pub(crate) two: Simulator,
}

impl InBuckets {
    /// With these settings of both buckets, beside name and location; `repository` begins the settings of that name.
    pub(crate) fn new(bucket: &Value, repository: &str) -> Result<Self> {
        let start = |location: &str, project: &str| -> Result<Simulator> {
            let simulator = Simulator::start().context(|| "starting a simulator".to_owned())?;
            let mut resource = bucket.clone();
            resource["name"] = json!(BUCKET);
            resource["location"] = json!(location);
            simulator
                .create_bucket_with(&resource, project, false)
                .context(|| "making a bucket".to_owned())?;
            simulator.rate_limit(false).context(|| "settings of a simulator".to_owned())?;
            Ok(simulator)
        };
        let (one, two) = (start("europe-west3", "acme-one")?, start("europe-north1", "acme-two")?);
        let major = majors().last().copied().ok_or_else(|| Failure::new("no server"))?;
        let server = Server::builder(major).archive_command("false").start()?;
        let regions = |home: &Path| -> Result<String> {
            let file = token_file(home, "writer")?;
            let region = |name: &str, url: String| {
                format!(
                    "[[repository.region]]\nname = \"{name}\"\nurl = \"gs://{BUCKET}/pg\"\nendpoint = \"{url}\"\ncredentials_file = \"{}\"\n",
                    file.display()
                )
            };
            Ok(format!("{repository}{}{}", region("one", one.url()), region("two", two.url())))
        };
        let writer = logins([("writer", of_role("writer")?)]);
        for cloud in [&one, &two] {
            cloud.credentials(&writer).context(|| "rights".to_owned())?;
        }
        let site = Site::in_regions(server, regions)?;
        // Otherwise `check` would tell.
        site.server.set("archive_timeout", "60")?;
        Ok(Self { site, one, two })
    }

    pub(crate) fn clouds(&self) -> [Control; 2] {
        [*self.one, *self.two]
    }

    /// From now on these tokens, with these rights, are all that there are.
    pub(crate) fn allow<'a>(
        &self,
        allowed: impl IntoIterator<Item = (&'a str, BTreeSet<String>)>,
    ) -> Result<()> {
        let known = logins(allowed);
        self.clouds().iter().try_for_each(|cloud| cloud.credentials(&known).context(|| "rights".to_owned()))
    }

    /// Settings as on the host of that token, with this at their end.
    pub(crate) fn settings_of(&self, token: &str, more: &str) -> Result<PathBuf> {
        let home = self.site.home().path();
        token_file(home, token)?;
        let text = self.site.settings_text().replace("writer.token.json", &format!("{token}.token.json"));
        let file = home.join(format!("{token}.toml"));
        write_file(&file, text + more, 0o600)?;
        Ok(file)
    }

    /// A key file that may prune, and settings that name it, with these rules.
    pub(crate) fn pruner(&self, rules: &str) -> Result<PathBuf> {
        let home = self.site.home().path();
        let mut line: Vec<OsString> =
            ["key", "add-writer", "--right", "prune", "--label", "keeper"].map(Into::into).to_vec();
        line.extend(["--output".into(), home.join("prune.key").into()]);
        line.extend(["--identity".into(), self.site.identity("first").into()]);
        self.site.seawall(line)?.expect_code(0)?;
        let file = self.settings_of("pruner", &format!("[retention]\n{rules}\n"))?;
        let key = format!("[repository]\nprune_key_file = \"{}/prune.key\"\n", home.display());
        let text = std::fs::read_to_string(&file)?.replace("[repository]\n", &key);
        write_file(&file, text, 0o600)?;
        Ok(file)
    }
}

fn logins<'a>(
    allowed: impl IntoIterator<Item = (&'a str, BTreeSet<String>)>,
) -> BTreeMap<String, Credential> {
    let login = |(token, allow): (&str, BTreeSet<String>)| {
        let grant = Grant { allow: allow.into_iter().collect(), ..Grant::default() };
        (token.to_owned(), Credential { name: token.to_owned(), grants: vec![grant] })
    };
    allowed.into_iter().map(login).collect()
}

/// A command with other settings.
pub(crate) fn with<S: Into<OsString>>(settings: &Path, line: impl IntoIterator<Item = S>) -> Result<Outcome> {
    let mut words: Vec<OsString> = vec!["-c".into(), settings.into()];
    words.extend(line.into_iter().map(Into::into));
    run_seawall(words)
}

fn token_file(home: &Path, token: &str) -> Result<PathBuf> {
    let file = home.join(format!("{token}.token.json"));
    write_file(&file, format!(r#"{{"type": "fixed_token", "token": "{token}"}}"#), 0o600)?;
    Ok(file)
}
