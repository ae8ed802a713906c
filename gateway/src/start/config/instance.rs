//! The name of this server among others.
//! Never asks anybody but the system.

/// The longest name of a server, in characters.
const INSTANCE_CHARS_MAX: usize = 100;

/// A name that was given.
pub(super) fn instance(text: &str) -> Result<String, String> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    match (1..=INSTANCE_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_plain) {
        true => Ok(text.to_owned()),
        false => {
            Err(format!("must be 1 to {INSTANCE_CHARS_MAX} letters, digits, hyphens, dots and underscores"))
        }
    }
}

/// In containers the host's name is the container's.
pub(super) fn default_instance() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let host = host.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    let is_plain = |letter: &char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '.' | '_');
    let host: String = host.chars().filter(is_plain).take(INSTANCE_CHARS_MAX).collect();
    let host = if host.is_empty() { "localhost" } else { &host };
    format!("{host}-{}", std::process::id())
}
