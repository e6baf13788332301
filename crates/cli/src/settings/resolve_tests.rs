//! What settings mean together.

use super::*;

const REGION: &str = "[[repository.region]]\nname = \"a\"\nurl = \"file:///a\"\n";

fn settings_of(text: &str) -> Result<Settings> {
    let mut layers = Layers::default();
    layers.add(Path::new("s.toml"), text);
    settings(vec!["s.toml".into()], layers)
}

fn orders(text: &str) -> ClusterSettings {
    let text = format!("[cluster.orders]\ndata_directory = \"/pg\"\n{text}");
    settings_of(&text).unwrap().clusters.into_values().next().unwrap()
}

fn refusal(text: &str) -> (&'static str, String) {
    let text = format!("[cluster.orders]\ndata_directory = \"/pg\"\n{text}");
    let error = settings_of(&text).unwrap_err();
    (error.id(), error.to_string())
}

#[test]
fn defaults_fill_what_nobody_sets() {
    let cluster = orders(REGION);
    assert_eq!(cluster.repository.ack, Ack::All { degrade: Duration::from_secs(60) });
    assert_eq!(cluster.repository.levels, Levels { backup: 3, wal: 1 });
    assert_eq!(cluster.repository.writer_key_file, Path::new("/var/lib/seawall/orders.key"));
    assert_eq!(cluster.repository.encryption, Encryption::Aes256Gcm);
    assert_eq!(cluster.connection.expose(), "dbname=postgres");
    assert_eq!(cluster.wait_for_region, Duration::from_secs(300));
    let wanted = Backup {
        fast_checkpoint: true,
        checkpoint_deadline: Duration::from_secs(900),
        bandwidth: None,
        read_bandwidth: None,
        workers: None,
        nice: 10,
        include_private_keys: false,
    };
    assert_eq!(cluster.backup, wanted);
    assert_eq!(cluster.objectives, Objectives::default());
}

#[test]
fn places_where_data_may_be_are_taken_as_they_stand_and_an_empty_list_is_refused() {
    let cluster = orders(&format!("[repository]\nresidency = [\"EU\", \"europe-west3\"]\n{REGION}"));
    assert_eq!(cluster.repository.residency, ["EU", "europe-west3"]);
    assert!(orders(REGION).repository.residency.is_empty());
    for bad in ["[]", "[\"\"]"] {
        let (id, said) = refusal(&format!("[repository]\nresidency = {bad}\n{REGION}"));
        assert!(id == "settings.value" && said.contains("list of places"), "{said}");
    }
    assert_eq!(refusal(&format!("[repository]\nresidency = \"EU\"\n{REGION}")).0, "settings.kind");
}

#[test]
fn every_default_is_accepted_by_its_own_kind() {
    // A default that its kind refuses would be a problem here.
    let cluster = orders(REGION);
    for key in KEYS.iter().filter(|key| key.default.is_some()) {
        let shown = cluster.shown.iter().find(|shown| shown.path == key.path).unwrap();
        assert!(shown.value.is_some() && shown.origin.is_none(), "{}", key.path);
    }
}

#[test]
fn a_cluster_overrides_key_by_key() {
    let text = format!(
        "[backup]\nnice = 5\nworkers = 2\n[objectives]\nrpo = \"24h\"\n[cluster.orders.backup]\nnice = 0\n{REGION}"
    );
    let cluster = orders(&text);
    assert_eq!((cluster.backup.nice, cluster.backup.workers), (0, Some(2)));
    let text = format!("[backup]\nbandwidth = \"2KiB/s\"\nread_bandwidth = \"3kB/s\"\n{REGION}");
    let backup = orders(&text).backup;
    assert_eq!((backup.bandwidth, backup.read_bandwidth), (Some(2048), Some(3000)));
    assert_eq!(cluster.objectives.rpo, Some(Duration::from_secs(86_400)));
}

#[test]
fn values_that_cannot_be_meant_are_refused_with_their_line() {
    let with = |line: &str| refusal(&format!("{REGION}{line}\n"));
    for (line, wanted) in [
        ("[repository]\nack = 3", "s.toml:7: repository.ack wants 3 regions, and there are 1"),
        ("[backup]\nnice = 20", "s.toml:7: backup.nice wants a whole number from 0 to 19"),
        (
            "[backup]\nbandwidth = \"5\"",
            "s.toml:7: backup.bandwidth wants bytes per second with their unit, such as \"100MiB/s\"",
        ),
        ("[wal.fetch]\nwait_for_region = \"5\"", "s.toml:7: wal.fetch.wait_for_region wants a time span"),
    ] {
        let (_, what) = with(line);
        assert!(what.starts_with(wanted), "{what}");
    }
}

#[test]
fn a_rule_no_region_can_meet_is_refused() {
    let (id, what) = refusal(&format!("[repository]\nack = 2\n{REGION}"));
    assert_eq!(id, "settings.ack");
    assert_eq!(what, "s.toml:4: repository.ack wants 2 regions, and there are 1");
    assert_eq!(refusal(&format!("[repository]\nack = 0\n{REGION}")).0, "settings.value");
    let (id, what) = refusal(&format!("[repository]\nack = 1\nack_degrade = \"5m\"\n{REGION}"));
    assert_eq!(id, "settings.no-effect");
    assert_eq!(what, "s.toml:5: repository.ack_degrade does nothing beside repository.ack = 1");
    let degrade = orders(&format!("[repository]\nack_degrade = \"5m\"\n{REGION}")).repository.ack;
    assert_eq!(degrade, Ack::All { degrade: Duration::from_secs(300) });
}

#[test]
fn regions_have_names_and_places_of_their_own() {
    let region =
        |name: &str, url: &str| format!("[[repository.region]]\nname = \"{name}\"\nurl = \"{url}\"\n");
    assert_eq!(refusal("").0, "settings.no-region");
    for second in [
        region("a", "file:///b"),
        region("b", "file:///a/"),
        region("b c", "file:///b"),
        region("b", "file://b"),
    ] {
        assert_eq!(refusal(&format!("{REGION}{second}")).0, "settings.region", "{second}");
    }
}

#[test]
fn two_clusters_in_one_directory_are_refused() {
    let text = format!("[cluster.other]\ndata_directory = \"/pg\"\n{REGION}");
    assert_eq!(refusal(&text).0, "settings.shared-directory");
}

#[test]
fn relative_paths_and_wrong_keys_are_refused() {
    for line in [
        "identity_file = \"key.txt\"",
        "owner = \"ed25519:abc\"",
        "id = \"12\"",
        "compression = \"gzip\"",
        "encryption = \"rot13\"",
        "recipients = [\"bob\"]",
        "compression = \"zstd:40\"",
        "wal_compression = \"zstd:0\"",
    ] {
        assert_eq!(refusal(&format!("[repository]\n{line}\n{REGION}")).0, "settings.value", "{line}");
    }
}

#[test]
fn an_identity_among_the_recipients_is_refused_and_not_shown() {
    let (id, what) = refusal(&format!("[repository]\nrecipients = [\"AGE-SECRET-KEY-1ABC\"]\n{REGION}"));
    assert_eq!(id, "settings.secret");
    assert!(!what.contains("1ABC"));
}

#[test]
fn several_problems_are_all_told() {
    let error = settings_of("[cluster.orders]\nnothing = 1\n[backup]\nnice = 30\n").unwrap_err();
    assert_eq!(error.id(), "settings.problems");
    assert_eq!(error.to_string(), "3 things are wrong with the settings");
    assert_eq!(error.facts().len(), 3);
}

#[test]
fn secrets_are_masked_in_what_is_shown() {
    let cluster = orders(&format!("connection = \"host=a password=hunter2\"\n{REGION}"));
    assert!(cluster.connection.expose().contains("hunter2"));
    assert!(!format!("{cluster:?}").contains("hunter2"));
}

#[test]
fn settings_without_a_cluster_say_so() {
    assert_eq!(settings_of(REGION).unwrap_err().id(), "settings.no-cluster");
}

#[test]
fn from_stands_in_for_a_file() {
    let name: ClusterName = "orders".parse().unwrap();
    let cluster = bare(&name, &["file:///a".into(), "file:///b".into()]).unwrap();
    let names: Vec<_> = cluster.repository.regions.iter().map(|region| region.name.as_str()).collect();
    assert_eq!(names, ["from-1", "from-2"]);
    assert_eq!(bare(&name, &["file:///a".into(), "file:///a".into()]).unwrap_err().id(), "settings.region");
}

#[test]
fn retention_is_a_policy_that_the_engine_can_apply() {
    let nothing = orders(REGION).retention;
    assert!(!nothing.policy.has_rules() && nothing.policy.min_backups == 2 && nothing.policy.zone == "UTC");
    assert_eq!((nothing.shrink_delay.as_secs(), nothing.grace.as_secs()), (604_800, 86_400));
    let text = "[retention]\ndaily = 30\npitr = \"30d\"\nwithin = \"1500ms\"\ntime_zone = \"Europe/Berlin\"\n\
                [cluster.orders.retention]\ndaily = 7\n";
    let policy = orders(&format!("{REGION}{text}")).retention.policy;
    assert_eq!((policy.daily, policy.zone.as_str()), (7, "Europe/Berlin"));
    let seconds = |span: Option<seawall_engine::retention::Span>| span.map(|span| span.as_seconds());
    assert_eq!((seconds(policy.pitr), seconds(policy.within)), (Some(2_592_000), Some(2)));
}

#[test]
fn retention_that_cannot_be_applied_is_refused_with_its_line() {
    let with = |line: &str| refusal(&format!("{REGION}[retention]\n{line}\n")).1;
    for (line, wanted) in [
        ("time_zone = \"Mars\"", "s.toml:7: retention.time_zone: no time zone is called \"Mars\""),
        ("max_age = \"47h\"", "s.toml:7: retention.max_age: max_age = 47 h is too short"),
        ("max_age = \"30d\"\npitr = \"30d\"", "s.toml:7: retention.max_age: pitr = 30 d cannot be kept"),
        ("grace = \"5h\"", "s.toml:7: retention.grace must be at least 6h"),
        ("daily = -1", "s.toml:7: retention.daily wants a whole number from 0 to 100000"),
    ] {
        let said = with(line);
        assert!(said.starts_with(wanted), "{said}");
    }
}
