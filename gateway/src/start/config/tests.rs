//! What the settings promise: which source wins, and that every mistake names the key and its place.

use super::*;

fn sources(toml: Option<&str>, dot_env: Option<&str>) -> (tempfile::TempDir, Sources) {
    let directory = tempfile::tempdir().unwrap();
    if let Some(text) = toml {
        std::fs::write(directory.path().join("farerush.toml"), text).unwrap();
    }
    if let Some(text) = dot_env {
        std::fs::write(directory.path().join(".env"), text).unwrap();
    }
    let sources = Sources { directory: directory.path().to_owned(), ..Sources::default() };
    (directory, sources)
}

fn variable(sources: &mut Sources, name: &str, text: &str) {
    sources.variables.push((name.to_owned(), text.to_owned()));
}

#[test]
fn the_defaults_are_the_contract_s() {
    let settings = Settings::from_values(&Values::default()).unwrap();
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(settings.journal, JournalTarget::File("./data/journal".into()));
    assert_eq!(settings.store, StoreTarget::Sqlite("./data/farerush.db".into()));
    assert_eq!(settings.max_connections, 20_000);
    assert_eq!(settings.connections_per_address_max, ConnectionsPerAddress::AQuarter);
    // As `docs/limits.md` says, and what was measured for it.
    assert_eq!(settings.rate_limits.things_per_address.map(NonZeroU32::get), Some(16_384));
    assert!(settings.demo);
    assert!(settings.admin_token.is_none());
}

#[test]
fn journal_and_store_follow_the_data_dir() {
    let mut values = Values::default();
    values.set("data_dir", "/tmp/x");
    let settings = Settings::from_values(&values).unwrap();
    assert_eq!(settings.journal, JournalTarget::File("/tmp/x/journal".into()));
    assert!(settings.demo, "another directory is still the embedded default");
    values.set("journal", "memory:");
    let settings = Settings::from_values(&values).unwrap();
    assert_eq!(settings.journal, JournalTarget::Memory);
    assert!(!settings.demo);
}

#[test]
fn flag_beats_environment_beats_dot_env_beats_toml() {
    let (_directory, mut all) = sources(Some("max_connections = 1"), Some("FARERUSH_MAX_CONNECTIONS=2"));
    let connections = |sources: &Sources| Settings::load(sources).unwrap().max_connections;
    assert_eq!(connections(&all), 2);
    variable(&mut all, "FARERUSH_MAX_CONNECTIONS", "3");
    assert_eq!(connections(&all), 3);
    all.flags.push(("max_connections", "4".to_owned()));
    assert_eq!(connections(&all), 4);
    let (_directory, toml_only) = sources(Some("max_connections = 1"), None);
    assert_eq!(connections(&toml_only), 1);
}

#[test]
fn an_unknown_key_is_named_with_its_place() {
    let (_directory, all) = sources(Some("max_conections = 1"), None);
    let error = Settings::load(&all).unwrap_err().to_string();
    assert_eq!(
        error,
        "unknown setting `max_conections` (from max_conections in farerush.toml); did you mean `max_connections`?"
    );
    let (_directory, mut all) = sources(None, None);
    variable(&mut all, "FARERUSH_TEST_ROUNDS", "20");
    variable(&mut all, "PATH", "/bin");
    assert!(Settings::load(&all).is_ok());
    variable(&mut all, "FARERUSH_LISTEM", "x");
    let error = Settings::load(&all).unwrap_err().to_string();
    assert!(error.contains("FARERUSH_LISTEM") && error.contains("did you mean `listen`?"), "{error}");
    let (_directory, all) = sources(None, Some("FARERUSH_NO=1\nOTHER=2"));
    assert!(Settings::load(&all).unwrap_err().to_string().contains("in .env"));
}

#[test]
fn a_bad_value_is_named_with_its_place() {
    for (name, text, expected) in [
        ("listen", "nowhere", "must be an address"),
        ("listen", "127.0.0.1", "must be an address"),
        ("durability", "disk", "must be memory, journal or store"),
        ("journal", "rediss:secret", "must be file:<directory>, redis://"),
        ("journal", "unix:secret", "must be file:<directory>, redis://"),
        ("journal", "redis:secret", "must be file:<directory>, redis://"),
        ("journal", "kafka:", "must be file:"),
        ("store", "mariadb://u:secret@h/db", "written mysql://"),
        ("store", "mysql:secret", "must be mysql://"),
        ("store_read", "mysql://u:secret@h/db", "only a mysql:// store"),
        ("redis_wait_replicas", "-1", "from 0 to 100"),
        ("redis_allow_unsafe", "yes", "must be true or false"),
        ("start_timeout_ms", "0", "from 1"),
        ("store", "sqlite:", "must be sqlite:<file>"),
        ("customer_auth", "jwt", "needs jwt_key or jwt_public_key_file"),
        ("jwt_key", "a-key-of-32-bytes-and-a-little-more", "has no effect unless"),
        ("jwt_key", "short", "must have 32 to 1024 bytes"),
        ("jwt_public_key_file", "key.pem", "has no effect unless"),
        ("jwt_audience", "farerush", "has no effect unless"),
        ("jwt_issuer", " x", "without a space"),
        ("allow_open", "yes", "must be true or false"),
        ("rate_limit_per_address", "0", "from 1 to 1000000, or none"),
        ("rate_limit_per_token", "-1", "from 1 to 1000000, or none"),
        ("trusted_proxies", "10.0.0.0/99", "no address or network"),
        ("customer_auth", "basic", "must be open or jwt"),
        ("rate_limit_per_customer", "often", "from 1 to 1000000, or none"),
        ("otlp_endpoint", "localhost:4317", "must begin with http://"),
        ("otlp_endpoint", "http://u:secret@localhost", "must not hold a password"),
        ("trace_sample_ratio", "1.5", "from 0 to 1"),
        ("trace_sample_ratio", "NaN", "from 0 to 1"),
        ("access_log", "1", "must be true or false"),
        ("demo", "maybe", "must be true or false"),
        ("cors_origins", "https://shop.example/", "no path"),
        ("max_connections", "0", "from 1 to 1000000"),
        ("max_connections", "1e9", "from 1 to 1000000"),
        ("body_bytes_max", "10", "from 1024"),
        ("admin_token", "short", "must be 16 to 256"),
        ("log_format", "xml", "must be text or json"),
        ("request_timeout_ms", "-1", "must be a whole number"),
    ] {
        let (_directory, mut all) = sources(None, None);
        variable(&mut all, &format!("FARERUSH_{}", name.to_uppercase()), text);
        let error = Settings::load(&all).unwrap_err().to_string();
        assert!(error.contains(&format!("setting `{name}`")) && error.contains(expected), "{error}");
        assert!(error.contains(&format!("FARERUSH_{}", name.to_uppercase())), "{error}");
        assert!(!error.contains("secret"), "a password must not be shown: {error}");
    }
}

#[test]
fn one_key_alone_says_how_customers_tokens_are_signed() {
    let mut values = Values::default();
    values.set("customer_auth", "jwt");
    values.set("jwt_key", "k".repeat(32));
    let settings = Settings::from_values(&values).unwrap();
    let CustomerAuth::Jwt(jwt) = settings.customer_auth else { panic!("not jwt") };
    assert_eq!((jwt.key, jwt.audience), (JwtKey::Secret(Secret::new("k".repeat(32))), None));
    values.set("jwt_public_key_file", "<data_dir>/issuer.pem");
    let error = Settings::from_values(&values).unwrap_err().to_string();
    assert!(error.contains("together with jwt_public_key_file"), "{error}");
    values.set("jwt_key", "none");
    let settings = Settings::from_values(&values).unwrap();
    let CustomerAuth::Jwt(jwt) = settings.customer_auth else { panic!("not jwt") };
    assert_eq!(jwt.key, JwtKey::PublicKeyFile("./data/issuer.pem".into()));
}

#[test]
fn servers_are_named_by_their_urls_and_have_no_demo_of_their_own() {
    let mut values = Values::default();
    values.set("journal", "redis://localhost:6379/0");
    values.set("store", "mysql://u:p@localhost/farerush");
    let settings = Settings::from_values(&values).unwrap();
    assert_eq!(settings.journal, JournalTarget::Redis(Secret::new("redis://localhost:6379/0")));
    assert_eq!(settings.store, StoreTarget::MySql(Secret::new("mysql://u:p@localhost/farerush")));
    assert!(!settings.demo && settings.store_read.is_none() && !settings.redis_allow_unsafe);
    assert_eq!(settings.start_timeout, Duration::from_secs(60));
}

#[test]
fn a_secret_does_not_show_in_debug() {
    let mut values = Values::default();
    values.set("admin_token", "very-secret-token-1");
    values.set("journal", "redis://:very-secret-1@h:1/0");
    values.set("store", "mysql://u:very-secret-2@h/d");
    values.set("store_read", "mysql://u:very-secret-3@h/d");
    let settings = Settings::from_values(&values).unwrap();
    assert!(!format!("{settings:?}").contains("very-secret"));
}

#[test]
fn the_readme_lists_every_setting() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../README.md");
    let Ok(readme) = std::fs::read_to_string(path) else { panic!("README.md is not there") };
    for key in KEYS {
        assert!(readme.contains(&format!("`{}`", key.name)), "README.md does not mention `{}`", key.name);
    }
}

#[test]
fn a_file_of_settings_that_others_can_change_is_not_believed() {
    use std::os::unix::fs::{PermissionsExt, chown};
    for name in ["farerush.toml", ".env"] {
        let (directory, sources) = sources(Some("log_format = \"json\""), Some("FARERUSH_LOG_FORMAT=json"));
        let path = directory.path().join(name);
        let set = |mode| std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        for mode in [0o600, 0o644, 0o664] {
            set(mode);
            Settings::load(&sources).unwrap();
        }
        set(0o666);
        let error = Settings::load(&sources).unwrap_err().to_string();
        assert!(error.contains(name) && error.contains("everybody"), "{error}");
        set(0o644);
        if farerush_persistence::files::own_user() == 0 {
            chown(&path, Some(12_345), None).unwrap();
            let error = Settings::load(&sources).unwrap_err().to_string();
            assert!(error.contains(name) && error.contains("user 12345"), "{error}");
        }
    }
}

#[test]
fn a_variable_that_ends_with_file_names_a_file_with_the_value() {
    let (directory, mut all) = sources(Some("max_connections = 1"), Some("FARERUSH_MAX_CONNECTIONS=2"));
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    variable(&mut all, "FARERUSH_STORE_FILE", &file("store", "mysql://u:p@db/farerush\n"));
    variable(&mut all, "FARERUSH_ADMIN_TOKEN_FILE", &file("token", "sixteen-characters-or-more\r\n"));
    variable(&mut all, "FARERUSH_MAX_CONNECTIONS_FILE", &file("connections", "3"));
    let settings = Settings::load(&all).unwrap();
    assert_eq!(settings.store, StoreTarget::MySql(Secret::new("mysql://u:p@db/farerush")));
    assert_eq!(settings.admin_token, Some(Secret::new("sixteen-characters-or-more")));
    assert_eq!(settings.max_connections, 3, "it is as strong as the variable itself");
    all.flags.push(("max_connections", "4".to_owned()));
    assert_eq!(Settings::load(&all).unwrap().max_connections, 4);
}

#[test]
fn every_setting_can_stand_in_a_file() {
    for key in KEYS {
        let (directory, mut all) = sources(None, None);
        let path = directory.path().join("value");
        std::fs::write(&path, "x\n").unwrap();
        let name = format!("{}_FILE", key.variable());
        variable(&mut all, &name, path.to_str().unwrap());
        let values = all.resolve().unwrap();
        match KEYS.iter().find(|other| other.variable() == name) {
            // Its own variable, which has held a path all along.
            Some(other) => assert_eq!(values.text(other.name), path.to_str(), "{name}"),
            None => assert_eq!(values.text(key.name), Some("x"), "{name}"),
        }
    }
}

#[test]
fn a_file_with_a_value_is_refused_beside_the_value_where_it_is_missing_and_where_it_is_no_setting() {
    let message = |all: &Sources| {
        let error = Settings::load(all).unwrap_err();
        let source = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        format!("{error}: {source}")
    };
    let (directory, mut both) = sources(None, None);
    let path = directory.path().join("store");
    std::fs::write(&path, "mysql://u:secret@db/farerush").unwrap();
    variable(&mut both, "FARERUSH_STORE_FILE", path.to_str().unwrap());
    variable(&mut both, "FARERUSH_STORE", "sqlite:x");
    let refusal = message(&both);
    assert!(
        refusal.contains("FARERUSH_STORE_FILE") && refusal.contains("together with FARERUSH_STORE:"),
        "{refusal}"
    );
    assert!(!refusal.contains("secret"), "{refusal}");

    let (_directory, mut missing) = sources(None, None);
    variable(&mut missing, "FARERUSH_STORE_FILE", "/nowhere/store");
    let refusal = message(&missing);
    assert!(refusal.contains("/nowhere/store") && refusal.contains("FARERUSH_STORE_FILE"), "{refusal}");

    let (directory, mut large) = sources(None, None);
    let path = directory.path().join("store");
    std::fs::write(&path, vec![b'x'; (64 << 10) + 1]).unwrap();
    variable(&mut large, "FARERUSH_STORE_FILE", path.to_str().unwrap());
    assert!(message(&large).contains("more than 65536 bytes"), "{}", message(&large));

    let (_directory, mut unknown) = sources(None, None);
    variable(&mut unknown, "FARERUSH_STOR_FILE", "/nowhere/store");
    assert!(message(&unknown).contains("unknown setting `FARERUSH_STOR_FILE`"), "{}", message(&unknown));
    let (_directory, in_dot_env) = sources(None, Some("FARERUSH_STORE_FILE=/nowhere/store"));
    assert!(
        message(&in_dot_env).contains("unknown setting `FARERUSH_STORE_FILE`"),
        "{}",
        message(&in_dot_env)
    );
}
