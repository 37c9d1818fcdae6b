//! Does the page on Docker name the base images of the Dockerfile?

use std::collections::BTreeSet;

use crate::page::{Page, text_of};

#[test]
fn the_page_on_docker_has_every_base_image_with_its_build_argument() {
    let dockerfile = text_of("Dockerfile");
    let arguments = dockerfile.lines().filter_map(|line| line.strip_prefix("ARG ")?.split_once('='));
    let arguments: Vec<_> = arguments.filter(|(name, _)| name.ends_with("_IMAGE")).collect();
    let images = dockerfile.lines().filter_map(|line| line.strip_prefix("FROM ")?.split(' ').next());
    let named_directly = images.filter(|image| image.contains([':', '/']) && !image.contains('$'));
    let images: BTreeSet<&str> = named_directly.chain(arguments.iter().map(|(_, image)| *image)).collect();
    for (path, heading) in [("docs/DOCKER.md", "argument"), ("docs/DOCKER.zh-CN.md", "参数")] {
        let page = Page::at(path);
        let rows = page.table(heading);
        let rows: Vec<_> = rows.iter().map(|row| (row[0].trim_matches('`'), row[1].trim_matches('`'))).collect();
        assert_eq!(rows.iter().map(|(_, image)| *image).collect::<BTreeSet<_>>(), images, "{path}");
        for argument in &arguments {
            assert!(rows.contains(argument), "{path} lacks {argument:?}");
        }
    }
}
