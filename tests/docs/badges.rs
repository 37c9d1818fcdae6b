//! Do the README's badges show figures of the page that they lead to?

use std::fs;

use crate::page::{Page, root};

#[test]
fn each_badge_shows_what_is_written_where_it_leads_to() {
    let reliability = Page::at("docs/RELIABILITY.md").prose;
    for readme in ["README.md", "README.zh-CN.md"] {
        let prose = Page::at(readme).prose;
        let badges: Vec<_> = prose
            .lines()
            .filter_map(|line| line.split_once("](docs/images/badges/")?.1.split_once(".svg)]("))
            .collect();
        assert_eq!(badges.len(), fs::read_dir(root().join("docs/images/badges")).unwrap().count(), "{readme}");
        for (badge, place) in badges {
            assert!(place.starts_with("docs/RELIABILITY.md"), "{badge} leads to {place}");
            let drawn = fs::read_to_string(root().join(format!("docs/images/badges/{badge}.svg"))).unwrap();
            let title = drawn.split_once("<title>").unwrap().1.split_once("</title>").unwrap().0;
            let (label, value) = title.split_once(": ").unwrap();
            assert!(
                drawn.contains(&format!(">{label}</text>")) && drawn.contains(&format!(">{value}</text>")),
                "{badge}"
            );
            let is_said = reliability.lines().any(|line| value.split(", ").all(|figure| line.contains(figure)));
            assert!(is_said, "no line of RELIABILITY.md says {value}");
        }
    }
}
