//! The HTML document around every page, and the page that shows an error and nothing else.
//!
//! Pages of the dashboard add their own header and navigation (`dashboard/components/layout.rs`).
//! A page loads nothing from other hosts.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::assets;
use crate::support::humanize::shown;

/// A whole document. `body` is the content of its `<body>`.
pub(super) fn document(title: &str, body_class: Option<&str>, has_script: bool, body: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (shown(title)) " · hookbox" }
                link rel="icon" type="image/svg+xml" href=(assets::ICON);
                link rel="stylesheet" href=(assets::STYLE);
                @if has_script { script src=(assets::SCRIPT) defer {} }
            }
            body class=[body_class] { (body) }
        }
    }
}

pub(super) fn brand() -> Markup {
    html! { a.brand href="/" { (PreEscaped(assets::MARK)) span { "hookbox" } } }
}

/// A page for clients that may not see anything else.
pub(super) fn error_page(title: &str, error: &str, hint: &str) -> Markup {
    let body = html! {
        header.head { div.head-row { (brand()) } }
        main {
            h1 { (title) }
            p.lead { (sentence(error)) }
            p { (sentence(hint)) }
            p.confirm { a.button href="/" { "Overview" } }
        }
    };
    document(title, None, false, &body)
}

/// Turns an error message, which starts in lower case, into a sentence.
fn sentence(text: &str) -> String {
    let text = shown(text);
    let mut letters = text.chars();
    let first = letters.next().map(|letter| letter.to_ascii_uppercase());
    first.into_iter().chain(letters).chain(['.']).collect()
}
