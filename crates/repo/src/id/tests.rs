use proptest::prelude::*;

use super::*;

#[test]
fn backup_id_has_the_documented_forms() {
    let id: BackupId = "20240229T123456Z-00ff00ff00ff00ff".parse().unwrap();
    assert_eq!(id.seconds(), 1_709_210_096);
    assert_eq!(id.to_bytes(), [0xf0, 0x79, 0xe0, 0x65, 0, 0, 0, 0, 0, 255, 0, 255, 0, 255, 0, 255]);
    assert_eq!(BackupId::from_bytes([0xff; 16]), None);
}

#[test]
fn other_forms_of_ids_are_refused() {
    for text in
        ["", "20240229T123456Z-00FF00ff00ff00ff", "20240230T123456Z-00ff00ff00ff00ff", "20240229T123456Z"]
    {
        assert!(text.parse::<BackupId>().is_err(), "{text}");
    }
    for text in ["", "0123", "G0000000000000000000000000000000", "+0000000000000000000000000000000"] {
        assert!(text.parse::<RepositoryId>().is_err(), "{text}");
        assert!(text.parse::<WriterId>().is_err(), "{text}");
    }
    for text in ["", "007", "+7", "-7", " 7", "18446744073709551616"] {
        assert_eq!(parse_decimal::<u64>(text), None, "{text}");
    }
    assert_eq!(parse_decimal::<u64>("0"), Some(0));
    assert!(serde_json::from_str::<Generation>("0").is_err());
}

#[test]
fn cluster_names_are_checked() {
    for text in ["orders", "a", "7up", "a.b-c_d", &"x".repeat(63)] {
        assert!(text.parse::<ClusterName>().is_ok(), "{text}");
    }
    let refused =
        ["", ".a", "-a", "_a", "A", "a/b", "a b", "ä", "owner", "writer", "seawall.json", &"x".repeat(64)];
    for text in refused {
        assert!(text.parse::<ClusterName>().is_err(), "{text}");
    }
    let error = "a\u{1b}[31m".parse::<ClusterName>().unwrap_err().to_string();
    assert!(!error.contains('\u{1b}'), "escape codes must not reach a terminal: {error}");
}

proptest! {
    #[test]
    fn ids_round_trip(bytes: [u8; 16], seconds in 0..253_402_300_800u64) {
        let repository = RepositoryId::from_bytes(bytes);
        prop_assert_eq!(repository.to_string().parse(), Ok(repository));
        let writer = WriterId::from_bytes(bytes);
        prop_assert_eq!(writer.to_string().parse(), Ok(writer));
        let mut with_time = bytes;
        with_time[..8].copy_from_slice(&seconds.to_le_bytes());
        let backup = BackupId::from_bytes(with_time).unwrap();
        prop_assert_eq!(backup.to_bytes(), with_time);
        prop_assert_eq!(backup.to_string().parse(), Ok(backup));
    }

    #[test]
    fn an_accepted_text_is_the_one_printed(text in "[0-9]{8}T[0-9]{6}Z-[0-9a-f]{16}|[0-9]{1,21}|[0-9a-f]{32}") {
        if let Ok(id) = text.parse::<BackupId>() { prop_assert_eq!(id.to_string(), text.clone()) }
        if let Some(number) = parse_decimal::<u64>(&text) { prop_assert_eq!(number.to_string(), text.clone()) }
        if let Ok(id) = text.parse::<WriterId>() { prop_assert_eq!(id.to_string(), text.clone()) }
    }
}
