//! Finds the path that a sender probably meant: a trailing or doubled slash, a missing or additional prefix, another
//! case, or a typing mistake.

/// Longer paths are not compared.
const MAX_PATH: usize = 256;
/// Paths that are compared. A machine with more sources gets fewer suggestions, not slower responses.
const MAX_CANDIDATES: usize = 512;

/// The configured path that `path` most likely stands for.
#[must_use]
pub fn nearest_path<'a>(path: &str, configured: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let wrong = normalized(path);
    if path.len() > MAX_PATH || wrong.len() < 2 {
        return None;
    }
    let configured = configured.take(MAX_CANDIDATES);
    let same = || configured.clone().find(|known| normalized(known) == wrong);
    // The longest one, since `/hooks/a` is also an end of `/hooks/a`'s own parents.
    let affix =
        || configured.clone().filter(|known| is_affix(&normalized(known), &wrong)).max_by_key(|known| known.len());
    same().or_else(affix).or_else(|| misspelled(&wrong, configured.clone()))
}

/// Lower case, without doubled slashes and without a slash at the end.
fn normalized(path: &str) -> String {
    let parts = path.split('/').filter(|part| !part.is_empty());
    parts.fold(String::new(), |made, part| made + "/" + &part.to_ascii_lowercase())
}

/// Whether a proxy that removes or adds a prefix turns one into the other.
fn is_affix(known: &str, wrong: &str) -> bool {
    known.len() > 1 && (known.ends_with(wrong) || wrong.ends_with(known))
}

fn misspelled<'a>(wrong: &str, configured: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let distance = |known: &'a str| (strsim::damerau_levenshtein(wrong, &known.to_ascii_lowercase()), known);
    configured
        .filter(|known| known.len() <= MAX_PATH && known.len().abs_diff(wrong.len()) <= 3)
        .map(distance)
        .filter(|(distance, known)| *distance <= (last_segment(known).len() / 4).clamp(1, 3))
        .min()
        .map(|(_, known)| known)
}

fn last_segment(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_a_path_are_recognised() {
        let known = ["/hooks/github", "/hooks/stripe", "/in/x"];
        for (wrong, expected) in [
            ("/hooks/github/", Some("/hooks/github")),
            ("//hooks//github", Some("/hooks/github")),
            ("/Hooks/GitHub", Some("/hooks/github")),
            ("/github", Some("/hooks/github")),
            ("/api/hooks/stripe", Some("/hooks/stripe")),
            ("/hooks/gihtub", Some("/hooks/github")),
            ("/hook/github", Some("/hooks/github")),
            ("/x/", Some("/in/x")),
            ("/hooks/gitlab", None),
            ("/hooks", None),
            ("/", None),
            ("/.env", None),
            ("/wp-login.php", None),
        ] {
            assert_eq!(nearest_path(wrong, known.into_iter()), expected, "{wrong}");
        }
        assert_eq!(nearest_path(&"/hooks/github/".repeat(40), known.into_iter()), None);
    }
}
