//! The shape of an await tree: its frames without addresses. Tasks of one shape look the same to a reader.

use crate::decode::Node;

/// Preorder: frame, number of children not shown, of awaited and of held children.
pub type Shape = Box<[u32]>;

/// Replaces `out` by the shape of `tree`.
pub fn shape_into(tree: &Node, out: &mut Vec<u32>) {
    out.clear();
    push(tree, out);
}

fn push(node: &Node, out: &mut Vec<u32>) {
    out.extend([node.frame.0, node.more, node.awaiting.len() as u32, node.held.len() as u32]);
    node.awaiting.iter().chain(&node.held).for_each(|child| push(child, out));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::sample::Shop;

    #[test]
    fn shapes_ignore_addresses_and_see_everything_else() {
        let shop = Shop::new();
        let shape = |node: &Node| {
            let mut out = vec![];
            shape_into(node, &mut out);
            out
        };
        let at = |address| shop.chain(&shop.reading(), address);
        assert_eq!(shape(&at(1)), shape(&at(2)));
        assert_ne!(shape(&at(1)), shape(&shop.chain(&shop.sleeping(), 1)));
        let mut moved = shop.selecting(1);
        let (first, second) = (moved.awaiting[0].awaiting.to_vec(), Vec::new());
        moved.awaiting[0].held = first.into();
        moved.awaiting[0].awaiting = second.into();
        assert_ne!(shape(&moved), shape(&shop.selecting(1)), "held is not awaited");
    }
}
