//! Path segments and query values that are long and random enough to serve as a secret.

use crate::support::secret::MASK;

/// Shorter texts can be guessed.
const MIN_LENGTH: usize = 16;
/// Bits of entropy: distinct characters and their frequencies, over the whole text.
const MIN_BITS: f64 = 48.0;

/// Whether a text is long and varied enough that it cannot be guessed. A name made of words is not: it needs digits too,
/// and words that are separated are rated one by one.
#[must_use]
pub fn is_secret(text: &str) -> bool {
    let is_token = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.~+=".contains(&byte));
    let random: String = text
        .split(['-', '_', '.', '~'])
        .filter(|part| part.bytes().any(|byte| byte.is_ascii_digit()) || has_mixed_case(part))
        .collect();
    is_token && random.len() >= MIN_LENGTH && bits(&random) >= MIN_BITS
}

/// Masks every segment of a path that may be a secret.
#[must_use]
pub fn masked(path: &str) -> String {
    path.split('/').map(|segment| if is_secret(segment) { MASK } else { segment }).collect::<Vec<_>>().join("/")
}

/// Capitals within a word, as in random letters; not as in `GitHub`.
fn has_mixed_case(part: &str) -> bool {
    let changes =
        part.as_bytes().windows(2).filter(|pair| pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase());
    part.len() >= MIN_LENGTH && changes.count() * 5 >= part.len()
}

/// Shannon entropy of the whole text.
fn bits(text: &str) -> f64 {
    let length = f64::from(u32::try_from(text.len()).unwrap_or(u32::MAX));
    let count = |byte: u8| f64::from(u32::try_from(text.bytes().filter(|other| *other == byte).count()).unwrap_or(1));
    text.bytes().map(|byte| (length / count(byte)).log2()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_random_segments_are_secret() {
        for (text, expected) in [
            ("Xq9Zt4LmR2vB8nKw", true),
            ("3f2b8c9d1e7a4056", true),
            ("550e8400-e29b-41d4-a716-446655440000", true),
            ("aK3-bT7_9fQz2LmP4w", true),
            ("qWeRtYuIoPaSdFgH", true),
            ("Xq9Zt4LmR2vB8nK", false),
            ("aaaaaaaaaaaaaaaaaaaa1", false),
            ("github-production-deliveries", false),
            ("my-service-webhooks-v2", false),
            ("GitHubEnterpriseHooks", false),
            ("11111111111111111111", false),
            ("", false),
        ] {
            assert_eq!(is_secret(text), expected, "{text}");
        }
        assert_eq!(masked("/in/Xq9Zt4LmR2vB8nKw/x"), "/in/***/x");
    }
}
