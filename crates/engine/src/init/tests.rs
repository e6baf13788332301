//! Init on directories: made, made again, interrupted at every call, refused.

use std::path::Path;
use std::sync::Arc;

use seawall_repo::identity::Identities;
use seawall_store::faulty::{CallKind, Fault, FaultyStore, Rule};
use seawall_store::{Region, Regions, World};

use super::*;
use crate::error::Result;
use crate::repository::{
    Acknowledge, Expecting, Levels, RegionSettings, Repository, RepositorySettings, Secrets, open_regions,
};

struct Bench {
    folder: tempfile::TempDir,
    world: World,
    identity: Identities,
}

impl Bench {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (world, identity) = (World::system(), Identities::generate());
        let bench = Self { folder, world, identity };
        bench.secret("identity", &bench.identity.print());
        bench
    }

    fn secret(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        seawall_store::durable::create_new(&path, text.as_bytes(), 0o600, self.world.random.as_ref())
            .unwrap();
        path
    }

    fn settings(&self) -> RepositorySettings {
        let region = |name: &str| {
            RegionSettings::new(name, format!("file://{}", self.folder.path().join(name).display()))
        };
        RepositorySettings {
            regions: vec![region("north"), region("south")],
            id: None,
            owner: None,
            acknowledge: Acknowledge::All,
            levels: Levels::DEFAULT,
        }
    }

    fn options(&self) -> InitOptions {
        let mut recipients = self.identity.recipients();
        recipients.extend(Identities::generate().recipients());
        InitOptions {
            cluster: "orders".parse().unwrap(),
            key_file: self.folder.path().join("host/orders.key"),
            cipher: Cipher::Aes256Gcm,
            recipients,
            one_key: false,
            identities: KeyFiles::default(),
            label: "db1".to_owned(),
            server: ServerIdentity { system: "7401234567890123456".parse().unwrap(), postgresql: 17 },
            lineage: Lineage::Refuse,
        }
    }

    fn regions(&self) -> Regions {
        open_regions(&self.settings(), Expecting::Nothing, None, &self.world).unwrap()
    }

    async fn init_in(&self, regions: &Regions, options: &InitOptions) -> Result<InitReport> {
        let plan = plan(&look(regions, options).await?, options)?;
        run(plan, regions, &self.settings(), options, &self.world).await
    }

    async fn init(&self, options: &InitOptions) -> Result<InitReport> {
        self.init_in(&self.regions(), options).await
    }

    fn content(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut found = Vec::new();
        for region in ["north", "south"] {
            collect(&self.folder.path().join(region), &mut found);
        }
        found.sort();
        found
    }
}

fn collect(folder: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else {
            found.push((path.clone(), std::fs::read(&path).unwrap()));
        }
    }
}

#[tokio::test]
async fn a_repository_is_made_that_host_and_identity_open() {
    let bench = Bench::new();
    let report = bench.init(&bench.options()).await.unwrap();
    assert_eq!(report.step, Step::MakeRepository);
    let mut settings = bench.settings();
    (settings.id, settings.owner) = (Some(report.repository), Some(report.owner));
    let cluster = "orders".parse().unwrap();
    let host = Secrets::Host(bench.options().key_file);
    let opened = Repository::open(&settings, &cluster, &host, None, &bench.world).await.unwrap();
    assert!(!opened.opens_content(), "a host that writes must not read");
    let identity = Secrets::Identities(vec![bench.folder.path().join("identity")].into());
    let opened = Repository::open(&settings, &cluster, &identity, None, &bench.world).await.unwrap();
    assert!(opened.opens_content());
    assert!(!Journal::path(&bench.options().key_file).exists());
}

#[tokio::test]
async fn looking_makes_nothing() {
    let bench = Bench::new();
    let found = survey(&bench.settings(), &bench.options(), &bench.world).await.unwrap();
    assert_eq!(plan(&found, &bench.options()).unwrap().step, Step::MakeRepository);
    assert!(!bench.folder.path().join("north").exists() && !bench.folder.path().join("host").exists());
    bench.init(&bench.options()).await.unwrap();
    let found = survey(&bench.settings(), &bench.options(), &bench.world).await.unwrap();
    let names: Vec<_> = found.regions.iter().map(|region| region.name.as_str()).collect();
    assert_eq!(
        (plan(&found, &bench.options()).unwrap().step, names),
        (Step::Nothing, vec!["north", "south"])
    );
}

#[tokio::test]
async fn a_second_run_changes_nothing() {
    let bench = Bench::new();
    bench.init(&bench.options()).await.unwrap();
    let before = bench.content();
    let again = bench.init(&bench.options()).await.unwrap();
    assert_eq!(again.step, Step::Nothing);
    assert_eq!(bench.content(), before);
}

#[tokio::test]
async fn an_init_that_failed_at_any_call_is_finished_by_the_next() {
    let faults = [Fault::FailBefore, Fault::FailAfter];
    for fault in faults {
        let mut call = 0;
        loop {
            call += 1;
            let bench = Bench::new();
            let (regions, faulty) =
                with_fault(&bench, &Rule::new(fault.clone()).on(CallKind::Put).after(call - 1));
            let first = bench.init_in(&regions, &bench.options()).await;
            if faulty.faults_met() == 0 {
                assert!(first.is_ok());
                assert!(call > 5, "the sweep met only {} calls", call - 1);
                break;
            }
            faulty.heal();
            drop(regions);
            let report = bench.init(&bench.options()).await.unwrap();
            let done = [Step::Finish, Step::Nothing, Step::MakeRepository];
            assert!(done.contains(&report.step), "{fault:?} at put {call}: {:?}", report.step);
            let names = |region: &str| {
                let root = bench.folder.path().join(region);
                let all = bench.content().into_iter();
                all.filter_map(|(path, bytes)| Some((path.strip_prefix(&root).ok()?.to_owned(), bytes)))
                    .collect::<Vec<_>>()
            };
            assert_eq!(names("north"), names("south"), "{fault:?} at put {call}");
            assert_eq!(names("north").len(), 5, "{fault:?} at put {call}: remains of a first try");
        }
    }
}

fn with_fault(bench: &Bench, rule: &Rule) -> (Regions, FaultyStore) {
    let mut faulty = None;
    let regions = bench.settings().regions.into_iter().map(|settings| {
        let config = seawall_store::RegionConfig {
            name: seawall_store::RegionName::new(&settings.name).unwrap(),
            url: settings.url,
            role: seawall_store::Role::Copy,
            access: seawall_store::Access::default(),
            limits: seawall_store::Limits::default(),
        };
        let region = Region::found(config, &bench.world).unwrap();
        if settings.name != "south" {
            return region;
        }
        region.wrapped(|store| {
            let wrapped = FaultyStore::new(store, &bench.world);
            wrapped.add(rule.clone());
            faulty = Some(wrapped.clone());
            Arc::new(wrapped)
        })
    });
    let regions = Regions::new(regions.collect(), &bench.world).unwrap();
    (regions, faulty.unwrap())
}

#[tokio::test]
async fn too_few_recipients_are_refused_unless_accepted() {
    let bench = Bench::new();
    let id = |outcome: Result<InitReport>| outcome.map(|report| report.step).map_err(|error| error.id());
    let mut options = bench.options();
    options.recipients.clear();
    assert_eq!(id(bench.init(&options).await), Err("init.no-recipient"));
    let one = bench.identity.recipients();
    options.recipients = [one.clone(), one].concat();
    assert_eq!(id(bench.init(&options).await), Err("init.one-recipient"));
    options.one_key = true;
    assert_eq!(id(bench.init(&options).await), Ok(Step::MakeRepository));
}

#[tokio::test]
async fn what_is_in_the_way_is_refused_and_left_alone() {
    let bench = Bench::new();
    let id = |outcome: Result<InitReport>| outcome.map(|report| report.step).map_err(|error| error.id());
    let foreign = bench.folder.path().join("south/family/photo.jpg");
    std::fs::create_dir_all(foreign.parent().unwrap()).unwrap();
    std::fs::write(&foreign, "x").unwrap();
    assert_eq!(id(bench.init(&bench.options()).await), Err("init.region-not-empty"));
    assert_eq!(bench.content().len(), 1);
    std::fs::remove_dir_all(bench.folder.path().join("south")).unwrap();
    bench.init(&bench.options()).await.unwrap();
    // A disk that is not mounted looks like an empty region.
    std::fs::rename(bench.folder.path().join("south"), bench.folder.path().join("gone")).unwrap();
    assert_eq!(id(bench.init(&bench.options()).await), Err("init.region-lacks"));
    std::fs::rename(bench.folder.path().join("north"), bench.folder.path().join("gone-too")).unwrap();
    assert_eq!(id(bench.init(&bench.options()).await), Err("init.key-file-of-another"));
}

#[tokio::test]
async fn another_server_under_the_name_is_refused_until_adopted() {
    let bench = Bench::new();
    bench.init(&bench.options()).await.unwrap();
    let mut options = bench.options();
    let old = options.server.system;
    options.server = ServerIdentity { system: "7409999999999999999".parse().unwrap(), postgresql: 18 };
    assert_eq!(bench.init(&options).await.unwrap_err().id(), "init.other-system-identifier");
    options.lineage = Lineage::After("1".parse().unwrap());
    assert_eq!(bench.init(&options).await.unwrap_err().id(), "init.unknown-predecessor");
    options.lineage = Lineage::After(old);
    assert_eq!(bench.init(&options).await.unwrap().step, Step::Adopt { after: Some(old) });
    assert_eq!(bench.init(&options).await.unwrap().step, Step::Nothing);
}

#[tokio::test]
async fn only_the_owner_adds_a_cluster() {
    let bench = Bench::new();
    let made = bench.init(&bench.options()).await.unwrap();
    let mut options = bench.options();
    options.cluster = "invoices".parse().unwrap();
    options.key_file = bench.folder.path().join("host/invoices.key");
    assert_eq!(bench.init(&options).await.unwrap_err().id(), "init.owner-key-needed");
    options.identities = vec![bench.secret("stranger", &Identities::generate().print())].into();
    assert_eq!(bench.init(&options).await.unwrap_err().id(), "keys.owner-not-pinned");
    options.identities = vec![bench.folder.path().join("identity")].into();
    let mut settings = bench.settings();
    settings.owner = Some(made.owner);
    let regions = bench.regions();
    let planned = plan(&look(&regions, &options).await.unwrap(), &options).unwrap();
    let report = run(planned, &regions, &settings, &options, &bench.world).await.unwrap();
    assert_eq!((report.step, report.repository), (Step::AddCluster, made.repository));
}

#[tokio::test]
async fn a_second_host_is_sent_to_where_the_identity_is() {
    let bench = Bench::new();
    bench.init(&bench.options()).await.unwrap();
    let mut options = bench.options();
    options.key_file = bench.folder.path().join("elsewhere.key");
    assert_eq!(bench.init(&options).await.unwrap_err().id(), "init.host-not-certified");
}
