/*
 * SQL colours in %%pg cells, for JupyterLab 4 and Notebook 7.
 *
 * JupyterLab loads this file as the entry of a federated module, and hands `init` the modules that
 * it shares. The editor and its PostgreSQL mode are JupyterLab's own, so nothing has to be built
 * or bundled. Where JupyterLab shares something else one day, cells keep Python's colours.
 *
 * The version stands in the name of the file so that no browser shows an old one from its cache.
 */
(() => {
  "use strict";

  const PLUGIN = "pgmagic:colours";
  const LANGUAGE = "text/x-pgsql";
  const MAGIC_LINE = "pgmagic-magic-line";

  // Other cell magics, such as %%time, may stand above ours.
  const PG_CELL = /^(?:[ \t]*\n|%%(?!pg\b)[^\n]*\n)*%%pg(?![\w-])/;
  const HEAD = 500; // characters of a cell in which the magic is looked for

  let shared = {};

  async function take(name) {
    const versions = shared[name];
    if (!versions) {
      throw new Error(`pgmagic: JupyterLab does not share ${name}`);
    }
    const chosen =
      Object.keys(versions).find((version) => versions[version].loaded) ??
      Object.keys(versions)[0];
    const factory = await versions[chosen].get();
    return factory();
  }

  /** Count the lines down to the one with our magic; 0 in any other cell. */
  function magicLines(text) {
    const found = PG_CELL.exec(text.slice(0, HEAD));
    return found ? found[0].split("\n").length : 0;
  }

  function colours({ EditorState, Compartment, Prec }, { EditorView, Decoration }, sql) {
    const language = new Compartment();
    const head = (doc) => doc.sliceString(0, HEAD);
    const inSql = Prec.highest(sql);

    const followTheMagic = EditorState.transactionExtender.of((transaction) => {
      if (!transaction.docChanged) {
        return null;
      }
      const before = magicLines(head(transaction.startState.doc)) > 0;
      const after = magicLines(head(transaction.newDoc)) > 0;
      return before === after
        ? null
        : { effects: language.reconfigure(after ? inSql : []) };
    });

    // Options and targets are no SQL: one colour for the whole line.
    const oneColour = Decoration.line({ class: MAGIC_LINE });
    const markTheMagic = EditorView.decorations.compute(["doc"], (state) => {
      const count = magicLines(head(state.doc));
      const starts = Array.from({ length: count }, (_, index) => state.doc.line(index + 1).from);
      return Decoration.set(starts.map((start) => oneColour.range(start)));
    });

    const theme = EditorView.baseTheme({
      [`.${MAGIC_LINE}, .${MAGIC_LINE} span`]: {
        color: "var(--jp-mirror-editor-meta-color, currentColor) !important",
        fontWeight: "600",
      },
    });

    return (text) => [
      language.of(magicLines(text) > 0 ? inSql : []),
      followTheMagic,
      markTheMagic,
      theme,
    ];
  }

  async function plugin() {
    const [codemirror, state, view] = await Promise.all(
      ["@jupyterlab/codemirror", "@codemirror/state", "@codemirror/view"].map(take)
    );
    const { EditorExtensionRegistry, IEditorExtensionRegistry, IEditorLanguageRegistry } =
      codemirror;
    return {
      id: PLUGIN,
      description: "SQL colours in %%pg cells.",
      autoStart: true,
      requires: [IEditorExtensionRegistry, IEditorLanguageRegistry],
      async activate(_app, extensions, languages) {
        const known = await languages.getLanguage(LANGUAGE);
        const sql = known && (known.support ?? (await known.load?.()));
        if (!sql) {
          return;
        }
        const extensionFor = colours(state, view, sql);
        extensions.addExtension({
          name: PLUGIN,
          factory: ({ model }) =>
            EditorExtensionRegistry.createImmutableExtension(
              extensionFor(model?.sharedModel?.getSource?.() ?? "")
            ),
        });
      },
    };
  }

  const containers = (window._JUPYTERLAB ??= {});
  containers.pgmagic = {
    init(scope) {
      shared = scope;
    },
    async get() {
      const module = { __esModule: true, default: await plugin() };
      return () => module;
    },
  };
})();
