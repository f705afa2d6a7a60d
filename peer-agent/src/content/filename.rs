//! Under which name a download is saved: what a listing or a ticket calls it, if that is harmless everywhere.
//!
//! Apart, because it is about what a stranger may make a person's file system do. A name that is not harmless gives way
//! to the content's id. Never answers a name that leaves the folder, is hidden, deceives the eye, or can be taken for
//! the unfinished download of another.

use netpay_protocol::ids::ContentId;
use netpay_protocol::listing::is_file_name;

/// Endings of an unfinished download.
const UNFINISHED: [&str; 2] = [".part", ".part.state"];
/// File systems take 255 bytes; the unfinished download has its ending too.
const MAX_BYTES: usize = 255 - UNFINISHED[1].len();

/// The name to save under.
pub fn of_download(name: &str, content: ContentId) -> String {
    if is_harmless(name) { name.to_owned() } else { content.to_string() }
}

/// Whether a file may be on offer under this name: others can save it, and nobody is deceived.
pub fn is_harmless(name: &str) -> bool {
    is_file_name(name)
        && name.len() <= MAX_BYTES
        && !name.starts_with(['.', ' ', '-', '~'])
        && !name.ends_with(['.', ' '])
        && !name.chars().any(|c| is_invisible(c) || r#"<>:"|?*"#.contains(c))
        && !is_device(name)
        && !is_unfinished(name)
}

/// Whether a name is that of an unfinished download.
pub fn is_unfinished(name: &str) -> bool {
    let name = name.to_lowercase();
    UNFINISHED.iter().any(|ending| name.ends_with(ending))
}

/// Characters that are not seen, or turn the reading direction around.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
            | '\u{ffa0}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
    ) || (c.is_whitespace() && c != ' ')
}

/// Names that are devices on Windows, with any ending.
fn is_device(name: &str) -> bool {
    let stem = name.split('.').next().unwrap_or(name).trim_end().to_uppercase();
    if ["CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"].contains(&stem.as_str()) {
        return true;
    }
    let number = stem.strip_prefix("COM").or_else(|| stem.strip_prefix("LPT"));
    number.is_some_and(|number| number.chars().count() == 1 && number.contains(|c: char| "0123456789¹²³".contains(c)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordinary_names_are_kept() {
        let long = "x".repeat(MAX_BYTES);
        for name in
            ["song.ogg", "Ünïcode – 音楽.txt", "a b.tar.gz", "COMA.txt", "com10", "part", "x.partial", "nul_1", &long]
        {
            assert_eq!(of_download(name, ContentId([1; 32])), name);
        }
    }

    #[test]
    fn a_name_that_could_do_harm_gives_way_to_the_content_id() {
        let long = "x".repeat(MAX_BYTES + 1);
        for name in [
            "",
            ".",
            "..",
            "../x",
            "/etc/passwd",
            "a/b",
            "a\\b",
            "C:x",
            ".bashrc",
            "-rf",
            "~",
            " x",
            "x ",
            "x.",
            "x\n",
            "x\0",
            "x\u{7f}",
            "x\u{85}",
            "gpj\u{202e}.exe",
            "a\u{200b}b",
            "a\u{feff}",
            "\u{2066}x",
            "a\u{2028}b",
            "a\u{a0}b",
            "a?b",
            "a*",
            "a|b",
            "a\"b",
            "<a>",
            "CON",
            "con.txt",
            "Nul",
            "aux.tar.gz",
            "COM1",
            "lpt9.doc",
            "com\u{b9}",
            "PRN ",
            "prn .txt",
            "conin$",
            "song.ogg.part",
            "song.part.state",
            "SONG.PART",
            &long,
        ] {
            assert!(!is_harmless(name), "{name:?}");
            assert_eq!(of_download(name, ContentId([1; 32])), "01".repeat(32), "{name:?}");
        }
    }
}
