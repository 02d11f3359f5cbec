package demo

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
)

// weights are what the route gives to the two versions.
type weights struct{ v1, v2 int }

// editWeights writes the weights of catalog-v1 and catalog-v2 into the file of dir
// that has them, as a person would do it in an editor: nothing else of the text
// changes, and the file is replaced whole. It returns the file's path.
func editWeights(dir string, w weights) (string, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.y*ml"))
	if err != nil {
		return "", err
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return "", err
		}
		edited, ok := setWeights(string(text), w)
		if !ok {
			continue
		}
		// The dot keeps it from being read as a manifest.
		temporary := filepath.Join(dir, "."+filepath.Base(file)+".new")
		if err := os.WriteFile(temporary, []byte(edited), 0o644); err != nil {
			return "", err
		}
		return file, os.Rename(temporary, file)
	}
	return "", fmt.Errorf("no file in %s gives weights to catalog-v1 and catalog-v2; the demo edits lines like {name: catalog-v1, port: 80, weight: 90}", dir)
}

func setWeights(text string, w weights) (string, bool) {
	for name, weight := range map[string]int{"catalog-v1": w.v1, "catalog-v2": w.v2} {
		entry := regexp.MustCompile(`(name: ` + name + `,[^}\n]*\bweight: )\d+`)
		if !entry.MatchString(text) {
			return text, false
		}
		text = entry.ReplaceAllString(text, fmt.Sprintf("${1}%d", weight))
	}
	return text, true
}
