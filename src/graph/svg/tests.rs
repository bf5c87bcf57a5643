use super::super::test_graph::{file, fixture_kernel, fixture_modules, graph, graph_over, module};
use super::super::{Scope, dot};
use super::text::width;
use super::*;

/// What stands between `<text …>` and `</text>`, with the attributes before it.
fn texts(svg: &str) -> Vec<(&str, &str)> {
    let parts = svg.split("<text ").skip(1).filter_map(|part| part.split_once("</text>"));
    parts.filter_map(|(element, _)| element.split_once('>')).collect()
}

fn attribute(element: &str, name: &str) -> f64 {
    let (_, rest) = element.split_once(&format!("{name}=\"")).unwrap_or_else(|| panic!("no {name} in {element}"));
    rest.split('"').next().unwrap().parse().unwrap()
}

#[test]
fn names_and_reasons_from_an_image_cannot_break_out_of_their_place() {
    let modules = [file("ib_<b>&\"x\u{1}", Err("]]><script>\u{fffe}".to_owned()))];
    let svg = svg(&graph(&modules, [&[], &[]], Scope::Infiniband), "a<b>&.img");
    assert!(svg.contains("<title id=\"title\">a&lt;b&gt;&amp;.img</title>"), "{svg}");
    assert!(svg.contains("ib_&lt;b&gt;&amp;&quot;x\u{fffd}"), "{svg}");
    assert!(!svg.contains("<script") && !svg.contains('\u{1}') && !svg.contains('\u{fffe}'));
}

#[test]
fn a_picture_needs_nothing_but_itself() {
    let svg = svg(&graph_over(&fixture_kernel(), &fixture_modules(), [&[], &[]], Scope::All), "x");
    let outside = svg.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for word in ["http", "<script", "@import", "@font-face", "href", "<image", "url(h"] {
        assert!(!outside.contains(word), "{word}");
    }
    for marker in ["head", "bad-head", "platform-head"] {
        assert!(svg.contains(&format!("<marker id=\"{marker}\"")));
    }
    assert!(svg.contains("prefers-color-scheme: dark"));
}

#[test]
fn every_line_of_a_box_fits_into_it() {
    let mut modules = fixture_modules();
    modules.push(module("ib_a_module_with_a_name_that_is_longer_than_the_longest_in_the_kernel", &[], &[], &[]));
    let svg = svg(&graph_over(&fixture_kernel(), &modules, [&[("30-ib", "mlx5_ib\n")], &[]], Scope::All), "x");
    let mut boxes = 0;
    for group in svg.split("<g class=\"module ").skip(1) {
        let group = group.split("</g>").next().unwrap();
        let (_, rect) = group.split_once("<rect").unwrap();
        let (left, right) = (attribute(rect, " x"), attribute(rect, " x") + attribute(rect, "width"));
        let lines = texts(group);
        assert_eq!(lines.len(), 3, "{group}");
        let mut last = attribute(rect, " y");
        for (attributes, line) in lines {
            let (x, y) = (attribute(attributes, " x"), attribute(attributes, " y"));
            let (size, bold) = if attributes.contains("name") { (13.0, true) } else { (11.0, false) };
            assert!(x >= left && x + width(line, size, bold) <= right, "{line}");
            assert!(y - last >= size, "{line} is too near to what is above it");
            last = y;
        }
        assert!(last < attribute(rect, " y") + attribute(rect, "height"));
        boxes += 1;
    }
    assert_eq!(boxes, 25);
}

#[test]
fn counts_at_one_box_stand_apart() {
    let svg = svg(&graph_over(&fixture_kernel(), &fixture_modules(), [&[], &[]], Scope::Infiniband), "x");
    let counts: Vec<(f64, f64)> = texts(&svg)
        .iter()
        .filter(|(attributes, _)| attributes.contains("count"))
        .map(|(attributes, _)| (attribute(attributes, " x"), attribute(attributes, " y")))
        .collect();
    assert!(counts.len() > 30);
    for (i, a) in counts.iter().enumerate() {
        assert!(counts[i + 1..].iter().all(|b| a.0 != b.0 || (a.1 - b.1).abs() >= 10.0), "{a:?}");
    }
}

#[test]
fn the_kernels_words_stand_in_the_picture_and_in_the_dot_file() {
    let modules = [module("ib_core", &[], &["irq_poll_init"], &[])];
    let graph = graph(&modules, [&[], &[("38-ib", "ib_core\n")]], Scope::Infiniband);
    let words = "ib_core: Unknown symbol irq_poll_init (err -2)";
    let svg = svg(&graph, "x");
    assert!(texts(&svg).iter().any(|(_, text)| *text == words), "{svg}");
    assert!(svg.contains("<g class=\"module fails\">"));
    let dot = dot(&graph, "x");
    assert!(dot.contains(words) && dot.contains("color=\"#dc2626\""), "{dot}");
}

#[test]
fn what_is_never_loaded_is_pale_and_says_so() {
    let svg = svg(&graph(&[module("ib_core", &[], &[], &[])], [&[], &[]], Scope::Infiniband), "x");
    assert!(svg.contains("<g class=\"module never\">"));
    assert!(texts(&svg).iter().any(|(attributes, text)| attributes.contains("why") && *text == "never loaded"));
}

#[test]
fn many_modules_without_edges_get_a_table_of_their_own() {
    let names: Vec<String> = (0..30).map(|number| format!("m{number:02}")).collect();
    let mut modules: Vec<_> = names.iter().map(|name| module(name, &[], &["printk"], &[])).collect();
    modules.push(module("user", &["m00"], &[], &[]));
    let svg = svg(&graph(&modules, [&[], &[]], Scope::All), "x");
    assert!(svg.contains("Modules that need only the kernel"));
    assert_eq!(svg.matches("<g class=\"module ").count(), 31);
    let height = attribute(svg.split('>').next().unwrap(), "height");
    assert!(height < 900.0, "{height}");
}

#[test]
fn an_image_without_infiniband_has_the_kernel_alone() {
    let svg = svg(&graph(&[module("igb", &[], &[], &[])], [&[], &[]], Scope::Infiniband), "x");
    assert!(svg.contains("no InfiniBand module in this image"));
    assert_eq!(svg.matches("<g class=\"module ").count(), 0);
}

#[test]
fn hundreds_of_modules_in_circles_are_drawn_in_bounded_space() {
    let names: Vec<String> = (0..400).map(|number| format!("ib_{number:03}")).collect();
    let modules: Vec<_> = (0..400_usize)
        .map(|own| {
            let needs: Vec<&str> = (1..40).map(|step| names[(own + step * step) % 400].as_str()).collect();
            module(&names[own], &needs, &[], &[])
        })
        .collect();
    let svg = svg(&graph(&modules, [&[], &[]], Scope::All), "x");
    assert!(svg.len() < 20_000_000, "{}", svg.len());
    assert!(svg.ends_with("</svg>\n"));
}
