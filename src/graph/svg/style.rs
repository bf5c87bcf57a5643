//! Colours. Plain rules first, so that viewers without media queries and variables show the light page.

/// Every class; the dark page overrides colours only.
pub(super) const STYLE: &str = "
text { font-family: system-ui, 'DejaVu Sans', 'Segoe UI', Helvetica, Arial, sans-serif; font-size: 11px; }
.ground { fill: #ffffff; }
.ink { fill: #111827; }
.soft { fill: #4b5563; }
.title { font-size: 20px; font-weight: 600; }
.summary { font-size: 13px; }
.heading { font-size: 13px; font-weight: 600; }
.say { font-size: 12px; }
.advice { font-style: italic; }
.name { font-size: 13px; font-weight: 600; }
.release { font-size: 16px; font-weight: 600; }
.box { stroke-width: 1.4; }
.kernel .box { fill: #eef0f3; stroke: #6b7280; }
.boot .box { fill: #e3edfd; stroke: #2563eb; }
.main .box { fill: #e2f4e8; stroke: #15803d; }
.dependency .box { fill: #efe9fd; stroke: #7c3aed; }
.never .box { fill: #f8f9fa; stroke: #c3c8d0; stroke-dasharray: 2 3; }
.never .ink, .never .soft { fill: #6b7280; }
.fails .box { fill: #fde4e4; stroke: #dc2626; stroke-width: 1.8; }
.fails .why { fill: #b91c1c; font-weight: 600; }
.missing .box { stroke-dasharray: 6 4; }
.line { fill: none; stroke: #8b94a3; stroke-width: 1.2; }
.hit { fill: none; stroke: #000000; stroke-opacity: 0; stroke-width: 9; }
.undeclared .line { stroke-dasharray: 6 4; }
.unused .line { stroke-dasharray: 1.5 3; }
.bad .line { stroke: #dc2626; }
.platform .line { stroke: #c3c8d0; }
.head { fill: #8b94a3; }
.bad-head { fill: #dc2626; }
.platform-head { fill: #c3c8d0; }
.count { font-size: 10px; text-anchor: end; stroke-width: 3px; paint-order: stroke; stroke-linejoin: round; }
.count { fill: #4b5563; stroke: #ffffff; }
.bad .count { fill: #b91c1c; }
.need:hover .line { stroke: #111827; stroke-width: 2.6; }
.need:hover .count { fill: #111827; font-weight: 600; }
.module:hover .box, .kernel:hover .box { stroke-width: 2.6; }
@media (prefers-color-scheme: dark) {
.ground { fill: #0f1419; }
.ink { fill: #e6e9ee; }
.soft { fill: #a3adba; }
.kernel .box { fill: #1f262e; stroke: #8b94a3; }
.boot .box { fill: #14274a; stroke: #6ea0ff; }
.main .box { fill: #10301d; stroke: #4cc47a; }
.dependency .box { fill: #2a1f4a; stroke: #a78bfa; }
.never .box { fill: #161b21; stroke: #4b5563; }
.never .ink, .never .soft { fill: #8b94a3; }
.fails .box { fill: #421a1c; stroke: #ff6b6b; }
.fails .why { fill: #ff9a9a; }
.line { stroke: #6f7a88; }
.bad .line { stroke: #ff6b6b; }
.platform .line { stroke: #414b57; }
.head { fill: #6f7a88; }
.bad-head { fill: #ff6b6b; }
.platform-head { fill: #414b57; }
.count { fill: #a3adba; stroke: #0f1419; }
.bad .count { fill: #ff9a9a; }
.need:hover .line { stroke: #ffffff; }
.need:hover .count { fill: #ffffff; }
}
";

/// Arrow heads; a marker cannot take its line's colour everywhere, so there is one for each.
pub(super) const MARKERS: &str = "\
<defs>
<marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"head\" d=\"M0 0.8 L8 4 L0 7.2 Z\"/></marker>
<marker id=\"bad-head\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"bad-head\" d=\"M0 0.8 L8 4 L0 7.2 Z\"/></marker>
<marker id=\"platform-head\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" markerHeight=\"8\" \
markerUnits=\"userSpaceOnUse\" orient=\"auto\"><path class=\"platform-head\" d=\"M0 0.8 L8 4 L0 7.2 Z\"/></marker>
</defs>";
