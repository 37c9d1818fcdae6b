//! Does the page on Docker name every base image and how it is replaced?

use std::collections::BTreeSet;

use crate::page::{Page, text_of};

/// `NAME` and `image` of each `ARG NAME_IMAGE=image` of a Dockerfile and each `${NAME_IMAGE:-image}` of a compose file.
fn base_images(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let arguments = text.lines().filter_map(|line| line.strip_prefix("ARG ")?.split_once('='));
    let variables = text.split("${").skip(1).filter_map(|rest| rest.split_once('}')?.0.split_once(":-"));
    let images = arguments.chain(variables).filter(|(name, _)| name.ends_with("_IMAGE"));
    // The others are built here.
    images.filter(|(_, image)| !image.starts_with("token-relay"))
}

#[test]
fn the_page_on_docker_has_every_base_image_with_its_default() {
    let files = ["Dockerfile", "cluster/Dockerfile", "compose.yaml", "compose.cluster.yaml"].map(text_of);
    let images: BTreeSet<_> = files.iter().flat_map(|file| base_images(file)).collect();
    assert!(images.len() >= 4, "only {images:?}");
    for (path, heading) in [("docs/DOCKER.md", "argument"), ("docs/DOCKER.zh-CN.md", "参数")] {
        let page = Page::at(path);
        let rows = page.table(heading);
        let rows: BTreeSet<_> = rows.iter().map(|row| (row[0].trim_matches('`'), row[1].trim_matches('`'))).collect();
        assert_eq!(rows, images, "{path}");
    }
}
