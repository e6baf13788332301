//! A small real server whose WAL goes where the test says, and repositories of two directories whose stores can be made to fail.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use seawall_engine::backup::{self, BackupOptions, BackupReport};
use seawall_engine::init::{self, InitOptions, Lineage, ServerIdentity};
use seawall_engine::monitor::Silent;
use seawall_engine::repository::{
    Acknowledge, Expecting, Levels, RegionSettings, Repository, RepositorySettings, Secrets, open_regions,
};
use seawall_engine::restore::recovery_settings::TargetAction;
use seawall_engine::restore::run::{Become, RestoreOptions};
use seawall_engine::restore::target::{Point, RecoveryTarget, TimelineChoice};
use seawall_engine::restore::transfer::Existing;
use seawall_engine::source::{ConnectOptions, Credentials, Niceness, read_control};
use seawall_engine::words::{BackupId, World};
use seawall_repo::identity::Identities;
use seawall_repo::seal::Cipher;
use seawall_store::faulty::{CallKind, Fault, FaultyStore, Rule};
use seawall_store::{Limits, Region, RegionConfig, RegionName, Regions, Role, durable};
use seawall_testkit::identity::server_user;
use seawall_testkit::{Scratch, Server, majors};

pub(crate) const BOTH: [&str; 2] = ["north", "south"];
/// The region whose store is made to fail.
pub(crate) const FAULTY: &str = "south";

/// A server, and the repository that every round starts from a copy of.
pub(crate) struct Bench {
    scratch: Scratch,
    server: Server,
    world: World,
    archive: PathBuf,
    template: Repo,
}

/// A repository's directories, its host's key file and an identity.
#[derive(Clone)]
pub(crate) struct Repo(PathBuf);

impl Bench {
    /// With one backup in both regions.
    pub(crate) async fn new() -> Self {
        let scratch = Scratch::new().unwrap();
        let archive = scratch.directory("archive").unwrap();
        let at = archive.display();
        let major = *majors().last().unwrap();
        let server = Server::builder(major)
            .wal_segment_mebibytes(1)
            .setting("autovacuum", "off")
            .archive_command(&format!("cp %p '{at}/%f.new' && mv '{at}/%f.new' '{at}/%f'"))
            .start()
            .unwrap();
        let template = Repo(scratch.directory("template").unwrap());
        let bench = Self { world: World::system(), archive, server, template, scratch };
        bench.make_small();
        bench.init().await;
        let repository = bench.template.host(&bench.world).await;
        bench.back_up(&repository, &bench.template.clone()).await.unwrap();
        bench
    }

    /// Without the databases that only cost time here.
    fn make_small(&self) {
        for statement in [
            "UPDATE pg_database SET datistemplate = false WHERE datname = 'template0'",
            "DROP DATABASE template0",
            "CREATE TABLE kept AS SELECT n, repeat('x', 500) AS filler FROM generate_series(1, 2000) AS n",
        ] {
            self.server.execute(statement).unwrap();
        }
    }

    async fn init(&self) {
        let identity = Identities::generate();
        let (path, random) = (self.template.identity(), self.world.random.as_ref());
        durable::create_new(&path, identity.print().as_bytes(), 0o600, random).unwrap();
        let control = read_control(self.server.data_directory(), self.world.clock.as_ref()).unwrap().file;
        let options = InitOptions {
            cluster: "orders".parse().unwrap(),
            key_file: self.template.key_file(),
            cipher: Cipher::Aes256Gcm,
            recipients: identity.recipients(),
            one_key: true,
            identities: seawall_engine::repository::KeyFiles::default(),
            label: "db1".to_owned(),
            server: ServerIdentity {
                system: control.system_identifier,
                postgresql: u32::from(control.version.major()),
            },
            lineage: Lineage::Refuse,
        };
        let settings = self.template.settings(&BOTH);
        let plan = init::plan(&init::survey(&settings, &options, &self.world).await.unwrap(), &options);
        let regions = open_regions(&settings, Expecting::Nothing, None, &self.world).unwrap();
        init::run(plan.unwrap(), &regions, &settings, &options, &self.world).await.unwrap();
    }

    pub(crate) fn world(&self) -> &World {
        &self.world
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// A new copy of the template.
    pub(crate) fn repo(&self, name: &str) -> Repo {
        let copy = self.scratch.path().join(name);
        let status = Command::new("cp").arg("-a").arg(&self.template.0).arg(&copy).status().unwrap();
        assert!(status.success());
        Repo(copy)
    }

    /// Some rows more, so that there is something to store.
    pub(crate) fn change(&self) {
        self.server.execute("UPDATE kept SET filler = md5(random()::text) WHERE n % 7 = 0").unwrap();
    }

    /// Takes a backup through `repository`, whose WAL arrives in `repo` undisturbed.
    pub(crate) async fn back_up(
        &self,
        repository: &Repository,
        repo: &Repo,
    ) -> seawall_engine::Result<BackupReport> {
        let connect = ConnectOptions {
            conninfo: self.server.connection_string("postgres"),
            credentials: Credentials::default(),
        };
        let archiver = repo.host(&self.world).await;
        let options = options();
        let taken =
            backup::run(repository, &connect, self.server.data_directory(), &options, Arc::new(Silent));
        tokio::select! {
            report = taken => report,
            never = self.archive_into(&archiver) => match never {},
        }
    }

    /// Pushes whatever the server hands over, for as long as it is polled.
    async fn archive_into(&self, repository: &Repository) -> std::convert::Infallible {
        loop {
            for entry in std::fs::read_dir(&self.archive).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_none_or(|end| end != "new") {
                    let pushed =
                        seawall_engine::archive::push::push(repository, self.server.data_directory(), &path);
                    pushed.await.unwrap();
                    std::fs::remove_file(&path).unwrap();
                }
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How a backup is restored into `name` in the scratch directory, read from `regions`.
    pub(crate) fn restore_options(&self, repo: &Repo, regions: &[&str], name: &str) -> RestoreOptions {
        let user = server_user().unwrap();
        let settings = repo.settings(regions);
        RestoreOptions {
            data_directory: self.scratch.path().join(name),
            wal_directory: None,
            tablespaces: Vec::new(),
            existing: Existing::None,
            system: None,
            target: RecoveryTarget::new(Point::Immediate, false, TimelineChoice::TheOneThatFits).unwrap(),
            backup: None,
            becomes: Become::Recovered(TargetAction::Promote),
            is_successor: false,
            keep_commands: false,
            salvage: None,
            discard_wal: false,
            bindir: None,
            search_path: std::ffi::OsString::new(),
            without_server: true,
            owner: user.dropped.then_some((user.uid, user.gid)),
            program: "/usr/bin/seawall".into(),
            parallel: 1,
            command: "seawall restore".to_owned(),
            as_asked: "seawall restore --latest".to_owned(),
            regions: settings.regions,
            without_regions: Vec::new(),
            wait_for_region: seawall_engine::archive::fetch::FETCH_WAIT,
            key_files: vec![repo.identity()].into(),
        }
    }

    /// Restores a backup from one region alone, which reads and verifies every byte of it.
    pub(crate) async fn restores_from(&self, repo: &Repo, region: &str, backup: BackupId) {
        let repository = repo.reader(&[region], &self.world).await;
        let options = RestoreOptions {
            backup: Some(backup),
            ..self.restore_options(repo, &[region], &format!("from-{region}"))
        };
        let restored = async {
            let prepared = seawall_engine::restore::run::prepare(&repository, &options).await?;
            seawall_engine::restore::run::run(&repository, prepared, &options, &Silent).await
        };
        let report = restored.await.unwrap_or_else(|error| panic!("{backup} from {region} alone: {error:?}"));
        assert_eq!(report.findings, [], "{backup} from {region} alone");
        assert!(is_cluster(&options.data_directory));
        std::fs::remove_dir_all(&options.data_directory).unwrap();
    }

    pub(crate) fn remove(&self, repo: &Repo) {
        std::fs::remove_dir_all(&repo.0).unwrap();
    }
}

/// Whether a server could start on it.
pub(crate) fn is_cluster(directory: &Path) -> bool {
    directory.join("global/pg_control").exists()
}

impl Repo {
    pub(crate) fn identity(&self) -> PathBuf {
        self.0.join("identity")
    }

    fn key_file(&self) -> PathBuf {
        self.0.join("host/orders.key")
    }

    fn url(&self, region: &str) -> String {
        format!("file://{}", self.0.join(region).display())
    }

    fn settings(&self, regions: &[&str]) -> RepositorySettings {
        let region = |name: &&str| RegionSettings::new(*name, self.url(name));
        RepositorySettings {
            regions: regions.iter().map(region).collect(),
            id: None,
            owner: None,
            acknowledge: Acknowledge::All,
            levels: Levels::DEFAULT,
        }
    }

    /// As the host that writes, undisturbed.
    pub(crate) async fn host(&self, world: &World) -> Repository {
        let (settings, secrets) = (self.settings(&BOTH), Secrets::Host(self.key_file()));
        Repository::open(&settings, &"orders".parse().unwrap(), &secrets, None, world).await.unwrap()
    }

    fn reading(&self, regions: &[&str]) -> (RepositorySettings, Secrets) {
        let host = seawall_engine::repository::HostKeys::load(&self.key_file()).unwrap();
        let settings = RepositorySettings {
            owner: Some(host.owner),
            id: Some(host.repository),
            ..self.settings(regions)
        };
        (settings, Secrets::Identities(vec![self.identity()].into()))
    }

    /// As a restore, undisturbed, from these regions.
    pub(crate) async fn reader(&self, regions: &[&str], world: &World) -> Repository {
        let (settings, secrets) = self.reading(regions);
        Repository::open(&settings, &"orders".parse().unwrap(), &secrets, None, world).await.unwrap()
    }

    fn regions(&self, names: &[&str], rule: Option<Rule>, world: &World) -> (Regions, FaultyStore) {
        let mut store = None;
        let regions = names.iter().map(|name| {
            // One attempt: what fails stays failed.
            let limits = Limits { attempts_max: 1, ..Limits::default() };
            let config = RegionConfig {
                name: RegionName::new(name).unwrap(),
                url: self.url(name),
                role: Role::Copy,
                access: seawall_store::Access::default(),
                limits,
            };
            let region = Region::open(config, world).unwrap();
            if *name != FAULTY {
                // Reads go to the faster region: so the faulty one is asked in every run, and not by chance.
                return region.wrapped(|inner| {
                    let slow = FaultyStore::new(inner, world);
                    slow.add(Rule::new(Fault::Delay(Duration::from_millis(20))).on(CallKind::Get));
                    Arc::new(slow)
                });
            }
            region.wrapped(|inner| {
                let faulty = FaultyStore::new(inner, world);
                rule.clone().into_iter().for_each(|rule| faulty.add(rule));
                store = Some(faulty.clone());
                Arc::new(faulty)
            })
        });
        let regions = Regions::new(regions.collect(), world).unwrap();
        (regions, store.unwrap())
    }

    /// As the host that writes, with a fault in [`FAULTY`]. What opening says goes with what the operation says.
    pub(crate) async fn disturbed_host(
        &self,
        rule: Option<Rule>,
        world: &World,
    ) -> (seawall_engine::Result<Repository>, FaultyStore) {
        let (regions, store) = self.regions(&BOTH, rule, world);
        let (settings, secrets) = (self.settings(&BOTH), Secrets::Host(self.key_file()));
        let cluster = "orders".parse().unwrap();
        (Repository::open_in(regions, &settings, &cluster, &secrets, world).await, store)
    }

    /// As a restore from these regions, with a fault in [`FAULTY`].
    pub(crate) async fn disturbed_reader(
        &self,
        names: &[&str],
        rule: Option<Rule>,
        world: &World,
    ) -> (seawall_engine::Result<Repository>, FaultyStore) {
        let (regions, store) = self.regions(names, rule, world);
        let (settings, secrets) = self.reading(names);
        let cluster = "orders".parse().unwrap();
        (Repository::open_in(regions, &settings, &cluster, &secrets, world).await, store)
    }

    /// Names of the manifests that lie in a region, whatever is in them.
    pub(crate) fn manifests(&self, region: &str) -> Vec<String> {
        let mut names = Vec::new();
        for system in std::fs::read_dir(self.0.join(region).join("orders")).unwrap() {
            let folder = system.unwrap().path().join("manifest");
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                names.push(entry.unwrap().file_name().into_string().unwrap());
            }
        }
        names.sort();
        names
    }
}

fn options() -> BackupOptions {
    BackupOptions {
        full: false,
        scan: false,
        parent: None,
        fast_checkpoint: true,
        checkpoint_deadline: Duration::from_secs(60),
        workers: 1,
        niceness: Niceness::default(),
        disk_rate: None,
        include_private_keys: false,
        wal_wait: Duration::from_secs(5),
        pack_age_max: None,
        lag_max: Duration::from_secs(60),
    }
}

/// Which of `count` things a test takes, by index: all, or so many spread over them with both ends.
pub(crate) fn chosen(count: usize, most: usize) -> Vec<usize> {
    if count <= most {
        return (0..count).collect();
    }
    (0..most).map(|index| index * (count - 1) / (most - 1)).collect()
}
