//! What tables show of task templates.

use protocol::{
    api::{Page, TemplateSummary, TemplateView},
    template::Param,
};

use super::{Block, View, cut, moment};
use crate::cli::output::Detail;

/// Characters of a description that a table shows.
const NARROW: usize = 50;

fn row(param: &Param) -> Vec<String> {
    let kind = param.kind.map_or("any", |kind| kind.as_str());
    let given = match &param.default {
        None if param.is_required() => "required".to_owned(),
        None => "null".to_owned(),
        Some(default) => cut(&default.to_string(), NARROW),
    };
    vec![
        param.name.clone(),
        kind.to_owned(),
        given,
        cut(&param.description, NARROW),
    ]
}

impl View for TemplateView {
    fn ids(&self) -> Vec<String> {
        vec![self.id.to_string()]
    }

    fn blocks(&self, _: Detail) -> Vec<Block> {
        let task = serde_json::to_string_pretty(&self.task);
        vec![
            Block::Fields(vec![
                ("id", self.id.to_string()),
                ("name", self.name.clone()),
                ("description", self.description.clone()),
                ("version", self.version.to_string()),
                ("user", self.user_id.clone()),
                ("created", moment(self.created_at)),
                ("updated", moment(self.updated_at)),
            ]),
            Block::Rows {
                header: vec!["PARAM", "TYPE", "DEFAULT", "DESCRIPTION"],
                rows: self.params.iter().map(row).collect(),
            },
            // JSON always can be written.
            Block::Text(task.unwrap_or_default()),
        ]
    }
}

impl View for Page<TemplateSummary> {
    fn ids(&self) -> Vec<String> {
        self.items.iter().map(|item| item.id.to_string()).collect()
    }

    fn blocks(&self, detail: Detail) -> Vec<Block> {
        let mut header = vec!["NAME", "VERSION", "PARAMS", "UPDATED", "DESCRIPTION"];
        if detail == Detail::Wide {
            header.extend(["USER", "ID"]);
        }
        let row = |item: &TemplateSummary| {
            let mut row = vec![
                item.name.clone(),
                item.version.to_string(),
                item.params.join(", "),
                moment(item.updated_at),
                cut(&item.description, NARROW),
            ];
            if detail == Detail::Wide {
                row.extend([item.user_id.clone(), item.id.to_string()]);
            }
            row
        };
        let rows = self.items.iter().map(row).collect();
        vec![Block::Rows { header, rows }]
    }
}
