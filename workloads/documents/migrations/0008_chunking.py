"""The strategy of chunking, the unit of sizes, and the size of parents. Fields with defaults need no rewrite."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("retrieval", "0007_search_settings"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="dataset",
            name="dataset_chunk_size",
        ),
        # Going back, sizes that only characters may have become the largest of tokens.
        migrations.RunSQL(
            migrations.RunSQL.noop,
            "UPDATE retrieval_dataset SET chunk_size = 1000, chunk_overlap = least(chunk_overlap, 500) "
            "WHERE chunk_size > 1000",
        ),
        migrations.AddField(
            model_name="dataset",
            name="chunking",
            field=models.CharField(
                choices=[
                    ("structure", "By structure: as many whole paragraphs as fit"),
                    ("heading", "By heading: each section"),
                    ("page", "By page: each page or slide"),
                    ("qa", "Questions: each with its answer"),
                    ("parent_child", "Parent and child: small chunks are found, large ones returned"),
                ],
                db_default="structure",
                default="structure",
                help_text="Where chunks begin and end. Chunks over the size are cut in any case.",
                max_length=12,
                verbose_name="chunking",
            ),
        ),
        migrations.AddField(
            model_name="dataset",
            name="parent_size",
            field=models.PositiveSmallIntegerField(
                db_default=800,
                default=800,
                help_text="Of parent and child only: maximum of the passage around a chunk that searches return.",
                verbose_name="parent size",
            ),
        ),
        migrations.AddField(
            model_name="dataset",
            name="size_unit",
            field=models.CharField(
                choices=[("tokens", "Tokens"), ("characters", "Characters")],
                db_default="tokens",
                default="tokens",
                help_text="A token is about four letters or one and a half Chinese characters.",
                max_length=10,
                verbose_name="unit of sizes",
            ),
        ),
        migrations.AlterField(
            model_name="dataset",
            name="chunk_overlap",
            field=models.PositiveSmallIntegerField(
                default=20,
                help_text="How much a chunk repeats from the previous one; at most half of a chunk.",
                verbose_name="chunk overlap",
            ),
        ),
        migrations.AlterField(
            model_name="dataset",
            name="chunk_size",
            field=models.PositiveSmallIntegerField(
                default=200,
                help_text="Maximum of a chunk: 20 to 1,000 tokens, or 20 to 4,000 characters.",
                verbose_name="chunk size",
            ),
        ),
        migrations.AddConstraint(
            model_name="dataset",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("size_unit", "characters"), ("chunk_size__lte", 1000), _connector="OR"),
                    ("chunk_size__range", (20, 4000)),
                ),
                name="dataset_chunk_size",
            ),
        ),
        migrations.AddConstraint(
            model_name="dataset",
            constraint=models.CheckConstraint(
                condition=models.Q(("size_unit__in", ["tokens", "characters"])), name="dataset_size_unit"
            ),
        ),
        migrations.AddConstraint(
            model_name="dataset",
            constraint=models.CheckConstraint(
                condition=models.Q(("chunking__in", ["structure", "heading", "page", "qa", "parent_child"])),
                name="dataset_chunking",
            ),
        ),
        migrations.AddConstraint(
            model_name="dataset",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("chunking", "parent_child"), _negated=True),
                    models.Q(("parent_size__gte", models.F("chunk_size")), ("parent_size__lte", 16000)),
                    _connector="OR",
                ),
                name="dataset_parent_size",
            ),
        ),
    ]
